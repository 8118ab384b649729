"""Bare `asyncio.gather` over the SDK with its own retries, jobs split over processes: what a script does."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from openai import AsyncOpenAI, OpenAIError

from ops.bench.quota.peer_options import KEY, SDK_RETRIES, call_parameters, peer_options


async def _grade(options: object, numbers: range) -> int:
    client = AsyncOpenAI(api_key=KEY, base_url=options.base_url, max_retries=SDK_RETRIES)  # type: ignore[attr-defined]
    slots = asyncio.Semaphore(options.in_flight)  # type: ignore[attr-defined]

    async def one(number: int) -> bool:
        async with slots:
            try:
                await client.chat.completions.create(**call_parameters(number, options.max_tokens))  # type: ignore[attr-defined]
            except OpenAIError:
                return False
        return True

    async with client:
        return sum(await asyncio.gather(*map(one, numbers)))


def main() -> None:
    """Split the jobs over processes, and wait for them."""
    options = peer_options()
    if options.name.startswith("part:"):
        part = int(options.name.removeprefix("part:"))
        asyncio.run(_grade(options, range(part, options.jobs, options.processes)))
        return
    rest = sys.argv[2:]
    parts = [
        subprocess.Popen([sys.executable, "-m", "ops.bench.quota.gather_peer", f"part:{part}", *rest])
        for part in range(options.processes)
    ]
    for process in parts:
        process.wait()


if __name__ == "__main__":
    main()

"""CPU of one structured completion against a bare SDK call with the same client, as a ratio from one run.

    python ops/bench/completion/cpu_per_call.py [--calls 400] [--transport aiohttp]

Bare is `client.chat.completions.create` and `model_validate_json`; ours is `get_structured_completion` and, beside it,
`attempt_completion`, which workers call. All three alternate against one stand-in process; the median of five rounds
counts. CPU is this process's alone; absolute times depend on the machine, the ratio hardly does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.openai_client import close_client, get_client, get_structured_completion
from workers.contract.outcome import Success
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import strict_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROMPT = "print('hello world')\n" * 190
"""About 4 KB: a submission of middling size with its instructions."""
IN_FLIGHT = 20
ROUNDS = 5
MODEL = "gpt-4o"


def main() -> None:
    """Start a stand-in, measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400, help="calls of each kind in one round")
    parser.add_argument("--transport", choices=["aiohttp", "httpx2"], default="aiohttp")
    options = parser.parse_args()
    standin = subprocess.Popen([sys.executable, "-m", "ops.standin", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(standin.stdout.readline() if standin.stdout else "{}")
        os.environ |= {
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": ready["base_url"],
            "GRADEQUEUE_HTTP_TRANSPORT": options.transport,
        }
        print(json.dumps(asyncio.run(measure(options.calls)) | {"transport": options.transport}, indent=2))
    finally:
        standin.terminate()
        standin.wait()


async def measure(calls: int) -> dict[str, Any]:
    """CPU in ms a call, median of the rounds, and the ratios of each round's own numbers."""
    kinds = {"bare": await bare(), "public": public, "attempt": await attempt()}
    for call in kinds.values():
        await cpu_ms(call, calls=50)
    rounds = [{name: await cpu_ms(call, calls=calls) for name, call in kinds.items()} for _ in range(ROUNDS)]
    await close_client()
    return {
        "cpu_ms_per_call": {name: round(statistics.median(one[name] for one in rounds), 3) for name in kinds},
        "ratio_to_bare": {
            name: round(statistics.median(one[name] / one["bare"] for one in rounds), 3)
            for name in ("public", "attempt")
        },
    }


async def cpu_ms(call: Callable[[], Awaitable[object]], *, calls: int) -> float:
    """CPU of this process for one call, in ms, with `IN_FLIGHT` side by side."""
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with places:
            await call()

    before = time.process_time()
    await asyncio.gather(*(one() for _ in range(calls)))
    return (time.process_time() - before) / calls * 1_000


async def bare() -> Callable[[], Awaitable[object]]:
    """The least a caller can write by hand."""
    client = await get_client()
    response_format: Any = {
        "type": "json_schema",
        "json_schema": {"name": "Feedback", "schema": strict_schema(Feedback), "strict": True},
    }

    async def call() -> object:
        response = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": PROMPT}],
            temperature=0.2,
            max_tokens=4096,
            response_format=response_format,
        )
        return Feedback.model_validate_json(response.choices[0].message.content or "")

    return call


async def public() -> object:
    """What a grader calls."""
    return await get_structured_completion(PROMPT, MODEL, Feedback)


async def attempt() -> Callable[[], Awaitable[object]]:
    """What a worker calls."""
    client = await get_client()
    request = CompletionRequest(prompt=PROMPT, model=MODEL, schema_model=Feedback)

    async def call() -> object:
        ended = await attempt_completion(client, request)
        if not isinstance(ended.ending, Success):
            raise TypeError(f"the stand-in answered with {ended.ending}")
        return ended

    return call


if __name__ == "__main__":
    main()

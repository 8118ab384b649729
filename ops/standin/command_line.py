"""The stand-in as a program: flags, the ready line, and an end that comes promptly.

Prints one JSON line when it serves, then nothing: no prompt ever reaches a log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING

from ops.standin.config import Config, read_lanes, read_latency_ms
from ops.standin.faults import Fault, parse_fault_rule
from ops.standin.lanes.delays import parse_delay
from ops.standin.lanes.script import LaneFault, parse_lane_fault
from ops.standin.server import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PORT_TAKEN = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or, when asked, the end of stdin; the exit status is 0 then, 2 for wrong use."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    options = {name: value for name, value in options.items() if not (name.endswith("_seconds") and value is None)}
    host, port, with_stdin = options.pop("host"), options.pop("port"), options.pop("exit_with_stdin")
    try:
        config = Config().changed(options)
    except ValueError as error:
        parser.error(str(error))
    _raise_file_limit()
    try:
        asyncio.run(_serve(config, host=host, port=port, with_stdin=with_stdin))
    except OSError as error:
        print(f"standin: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return _PORT_TAKEN
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="standin", description="A stand-in for the OpenAI API. Its grades are not real."
    )
    add, default = parser.add_argument, Config()
    add("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    add("--port", type=int, default=0, help="port to listen on; 0 picks a free one")
    add("--exit-with-stdin", action="store_true", help="end when stdin ends, so that it dies with its parent")
    add("--latency-ms", type=_typed(read_latency_ms), default=default.latency_ms, metavar="A[-B]")
    add("--slots", type=int, metavar="N", help="work on so many calls at once and let the others wait silently")
    add("--rpm", type=int, metavar="N", help="requests a minute per key and model (default: no limit)")
    add("--tpm", type=int, metavar="N", help="tokens a minute per key and model (default: no limit)")
    add("--slice-seconds", type=float, default=default.slice_seconds, help="hold the limits over slices this long")
    add("--cost-rule", choices=("max", "sum"), default="max", help="of max_tokens and the prompt's estimate")
    _add_switch(parser, "--charge-refused", default=True, explain="count calls refused with 429 as requests")
    add("--foreign-share", type=float, default=0.0, help="part of the limit that others consume, 0 to 1")
    _add_switch(parser, "--retry-after", default=True, explain="send Retry-After with a 429")
    _add_switch(parser, "--retry-after-ms", default=False, explain="send retry-after-ms with a 429")
    add("--streaming", choices=("served", "refused", "ignored"), default="served", help="of calls that ask for it")
    _add_switch(parser, "--limit-headers", default=True, explain="name the limits in x-ratelimit-* headers")
    add("--scatter", type=float, default=0.0, help="how far answers move from call to call, 0 to 1")
    add("--fabricate", type=float, default=0.0, help="share of quotations that are made up, 0 to 1")
    add("--doubt", type=float, default=0.0, help="share of judgements it says it cannot make, 0 to 1")
    _add_switch(parser, "--ignore-marks", default=False, explain="answer alike whatever a fence's mark is")
    add("--seed", type=int, default=0)
    _add_switch(parser, "--bill-abandoned", default=False, explain="bill calls whose client left before the answer")
    add("--project-tier", choices=("default", "flex", "priority"), default="default", help="of calls that ask for none")
    add("--any-model", action="store_true", help="accept every model name")
    add(
        "--fault",
        dest="faults",
        type=_typed(parse_fault_rule),
        action="append",
        default=[],
        metavar="KIND=RATE|KIND@COUNT",
        help=f"script a fault, repeatable; kinds: {', '.join(Fault)}",
    )
    _add_lanes(parser, default)
    return parser


def _add_lanes(parser: argparse.ArgumentParser, default: Config) -> None:
    add = parser.add_argument_group("slow lanes", "files, batches and background responses").add_argument
    add("--lanes", type=_typed(read_lanes), default=default.lanes, metavar="batch,background|none", help="are served")
    for name, what in (("batch", "batch"), ("window-2h", "background response"), ("window-8h", "background response")):
        add(
            f"--{name}-seconds",
            type=_typed(parse_delay),
            action="append",
            metavar="A|A-B|A~B|never",
            help=f"what a {what} takes: fixed, a range, or a median and the time that nine of ten keep; repeatable,"
            " for one after another",
        )
    add("--batch-window-seconds", type=float, default=default.batch_window_seconds, help="before a batch expires")
    add("--batch-queue-tokens", type=int, metavar="N", help="input tokens per key and model in unfinished batches")
    add("--cancel-seconds", type=float, default=default.cancel_seconds, help="how long a batch is cancelling")
    add(
        "--lane-fault",
        dest="lane_faults",
        type=_typed(parse_lane_fault),
        action="append",
        default=[],
        metavar="KIND=RATE|KIND@COUNT",
        help=f"script a fault, repeatable; kinds: {', '.join(LaneFault)}",
    )


def _add_switch(parser: argparse.ArgumentParser, flag: str, *, default: bool, explain: str) -> None:
    parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=explain)


def _typed(read: Callable[[str], object]) -> Callable[[str], object]:
    def convert(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            # argparse shows the message of this exception only.
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


async def _serve(config: Config, *, host: str, port: int, with_stdin: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if with_stdin:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stopped.set))
    async with running(config, host=host, port=port) as standin:
        print(json.dumps({"ready": True, "base_url": standin.base_url}), flush=True)  # noqa: T201
        await stopped.wait()


def _watch_stdin(on_end: Callable[[], object]) -> None:
    # A thread, because stdin may be a file or a terminal, which not every event loop can wait for.
    def read_to_end() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4_096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending anyway
            on_end()

    threading.Thread(target=read_to_end, daemon=True, name="stdin").start()


def _raise_file_limit() -> None:
    # A call in flight is an open socket, and the usual soft limit of 1,024 is below what tests hold open.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

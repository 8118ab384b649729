"""`python -m ops.bench.kills.worker STEP ...`: a worker process that kills itself (-9) once it has done this step.

The arguments that follow are those of `celery worker`. `-` for STEP is a worker that lives.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from workers.process.lanes_loop import LanesLoop

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Serve, until the step is done."""
    wanted, arguments = sys.argv[1], sys.argv[2:]
    if wanted != "-":
        LanesLoop.of = _dying(LanesLoop.of, wanted)  # type: ignore[method-assign]
    from workers.process.celery_worker import main as serve  # noqa: PLC0415 - it lets no module of ours load before

    return serve(arguments)


def _dying(made: Callable[..., LanesLoop], wanted: str) -> Callable[..., LanesLoop]:
    def of(*given: object, **named: object) -> LanesLoop:
        loop = made(*given, **named)

        def after(step: str) -> None:
            if step == wanted:
                os.kill(os.getpid(), signal.SIGKILL)

        loop._work.after = after  # noqa: SLF001 - production has no such door
        return loop

    return of


if __name__ == "__main__":
    sys.exit(main())

"""`python -P -m workers.process.celery_worker ...`: one worker process, with the options of `celery worker`.

Not `celery -A workers.process.app`: that puts the working folder first on the import path while it loads the
application.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from workers.confinement import confine

if TYPE_CHECKING:
    from celery import Celery


def main(arguments: list[str]) -> int:
    """Serve until stopped; the exit status is the worker's own, 1 with one line when it cannot be put together."""
    confine()
    warnings.formatwarning = _in_one_line
    # the modules to come stay for good: searching them for garbage while they load is a sixth of the start
    gc.disable()
    # after the path is safe
    from workers.process.lean_imports import lean_imports  # noqa: PLC0415

    with lean_imports():
        import celery.apps.worker  # noqa: F401, PLC0415 - what `build_app` does not load yet

        from workers.contract.errors import GradequeueError  # noqa: PLC0415
        from workers.process.app import build_app  # noqa: PLC0415
        from workers.process.worker_options import read_options  # noqa: PLC0415
        from workers.settings import SettingsError, load_settings  # noqa: PLC0415

        options = read_options(arguments)
    try:
        app = build_app(load_settings())
    except (GradequeueError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    gc.freeze()  # and no later collection walks them
    gc.enable()
    no_color = bool(os.environ.get("NO_COLOR"))
    return _celerys_command(app, arguments, no_color=no_color) if options is None else _serve(app, options, no_color)


def _serve(app: Celery, options: dict[str, Any], no_color: bool) -> int:  # noqa: FBT001 - as Celery calls it
    worker = app.Worker(**options, no_color=no_color)
    worker.start()
    status: int | None = worker.exitcode
    return status or 0


def _celerys_command(app: Celery, arguments: list[str], *, no_color: bool) -> int:
    """The command of `celery worker` alone: `celery.bin.celery` loads every plugin, Flower with Tornado among them."""
    from celery.bin.base import CLIContext  # noqa: PLC0415 - loads what a worker does not need
    from celery.bin.worker import worker  # noqa: PLC0415

    context = CLIContext(app=app, no_color=no_color, workdir=None)
    status: int | None = worker.main(args=arguments, prog_name="celery worker", obj=context, standalone_mode=False)
    return status or 0


def _in_one_line(message: Warning | str, category: type[Warning], *_place: object, **_source: object) -> str:
    """Without the line of code it came from, which would be taken for the reason of an end."""
    return f"{category.__name__}: {' '.join(str(message).split())}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a worker process does once, when everything else has been opened."""

from __future__ import annotations

import gc
import os
import signal


def spare_the_collector() -> None:
    """What has been loaded by now stays: the garbage collector need not walk over it again with every few jobs."""
    gc.collect()
    gc.freeze()


def exit_with_stdin() -> None:
    """Who started this worker holds the other end of its standard input: when that is gone, stop in order."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

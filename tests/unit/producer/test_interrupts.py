from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from producer.local.interrupts import Interrupts, counted_interrupts

DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_at_once_and_is_counted(number: signal.Signals):
    before = signal.getsignal(number)
    with counted_interrupts() as interrupts:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        began_at = time.monotonic()
        assert interrupts.wait(DEADLINE_SECONDS)
        assert time.monotonic() - began_at < DEADLINE_SECONDS / 2
        assert interrupts.count == 1
        os.kill(os.getpid(), number)
        assert interrupts.wait(DEADLINE_SECONDS)
        assert interrupts.count == 2

    assert signal.getsignal(number) == before


def test_without_a_signal_the_wait_lasts_as_long_as_asked():
    interrupts = Interrupts()
    began_at = time.monotonic()

    assert not interrupts.wait(0.05)
    assert time.monotonic() - began_at >= 0.05
    assert interrupts.count == 0

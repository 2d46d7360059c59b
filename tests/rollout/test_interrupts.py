"""What a signal does to a run that listens: the first is noted, the second ends it at once; a burst is one."""

import os
import signal
import time

import pytest

from rlbench.rollout import signals
from rlbench.rollout.signals import Interrupts


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.002)  # Python calls handlers between two instructions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_ends_at_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "BURST", 0.0)
    with Interrupts() as interrupts:
        send(number)
        assert interrupts.signal == number
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_a_burst_of_sigterm_is_one() -> None:
    """As the system tells of a parent with many threads that was killed."""
    with Interrupts() as interrupts:
        for _ in range(5):
            send(signal.SIGTERM)
        assert interrupts.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_ctrl_c_twice_is_meant_however_fast() -> None:
    with Interrupts():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)

"""Ctrl-C during a call that must not be cut in half."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from planit.backends.slurm.interrupts import deferred_interrupt


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def call(times: int, done: list[str], error: Exception | None = None) -> None:
    """A call during which Ctrl-C is pressed."""
    with deferred_interrupt():
        for _ in range(times):
            press_ctrl_c()
        if error is not None:
            raise error
        done.append("the rest")


def test_the_first_ctrl_c_acts_when_the_call_has_ended() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call(1, done)
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_acts_at_once() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call(2, done)
    assert done == []
    assert signal.getsignal(signal.SIGINT) is before


def test_without_ctrl_c_nothing_changes_and_other_threads_may_call() -> None:
    done: list[str] = []
    thread = threading.Thread(target=call, args=(0, done))
    thread.start()
    thread.join()
    call(0, done)
    assert done == ["the rest"] * 2


def test_ctrl_c_is_not_lost_when_the_call_fails() -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        call(1, [], OSError("refused"))
    assert isinstance(raised.value.__context__, OSError)

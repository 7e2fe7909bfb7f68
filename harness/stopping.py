"""SIGTERM and Ctrl-C: a training ends after the update under way, everything else at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The program was asked to end: no failure of a trial, and never caught as one."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.code = 128 + number


class _Asked:
    """The signal that came while a training was under way, whether one is, and the signal that ended all at once."""

    number: int | None = None
    training = False
    raised: int | None = None


def _ask(number: int, _: Any) -> None:
    """A first signal waits for the end of the update; a second one, or one outside of a training, ends at once."""
    if not _Asked.training or _Asked.number is not None:
        _Asked.raised = number
        raise Stopped(number)
    _Asked.number = number


def insist() -> None:
    """End after all, where something caught what a signal raised: an import makes an error of its own of it."""
    if _Asked.raised is not None:
        raise Stopped(_Asked.raised)


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Heed both signals, where the program may (in the main thread); afterwards they mean what they meant before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ask) for number in SIGNALS}
    try:
        yield
    except Exception:
        insist()
        raise
    finally:
        _Asked.raised = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def between_updates() -> Iterator[None]:
    """A training: a signal waits until `asked` is looked at, at the latest until the training's end."""
    insist()
    _Asked.number, _Asked.training = None, True
    try:
        yield
    except Exception:  # a training that fails is no reason to begin the next one
        _end()
        raise
    finally:
        _Asked.training = False
    _end()


def _end() -> None:
    waits, _Asked.number = _Asked.number, None
    if waits is not None:
        raise Stopped(waits)


def asked() -> int | None:
    """The signal that waits."""
    return _Asked.number

"""Keeps a signal from a process that is started here."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def blocked(number: signal.Signals) -> Iterator[None]:
    """Block a signal in this thread, and so for good in a process that is started meanwhile: it
    inherits that. This thread gets the signal afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

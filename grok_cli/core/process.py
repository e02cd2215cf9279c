"""How a process that trains uses its threads, and what it does at its very start.

Late in training most probabilities and activation tails are too small for a normal float32.
Arithmetic with such subnormal numbers is several times slower, so they are flushed to zero. A
thread takes over that mode from the thread that starts it: it must be set before the first
parallel operation, which starts the pool.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

SUBNORMAL_BITS = 0x000F_FFFF  # of the float32 1.47e-39


@dataclass(frozen=True)
class ProcessFacts:
    """How this process computes, for the record.

    Attributes:
        threads: CPU threads.
        flush_denormal: whether all of them flush subnormal numbers to zero.
    """

    threads: int
    flush_denormal: bool


def prepare_process(threads: int | None) -> ProcessFacts:
    """Make all threads flush subnormal numbers to zero, and set their number (None: all cores)."""
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    return ProcessFacts(torch.get_num_threads(), all_threads_flush())


def all_threads_flush() -> bool:
    """Whether every thread of the pool flushes, tried on a product that is large enough for all.

    Bits are written and read as integers, since flushing would hide subnormal values.
    """
    n = torch.get_num_threads() * 2**18
    subnormal = torch.full((n,), SUBNORMAL_BITS, dtype=torch.int32).view(torch.float32)
    return not bool((subnormal * 1.0).view(torch.int32).any())


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes in this thread alone, so that sums are taken in one order everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

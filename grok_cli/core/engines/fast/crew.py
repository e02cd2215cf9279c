"""Threads that take whole chunks of rows, each computing its own alone.

Torch's own threads share out every single operation and meet after each; the operations on a chunk
take well under a millisecond, so that much of it would be spent meeting. Here the threads meet
twice a step. As chunks do not depend on the number of threads, and results are combined in the
order of chunks, the numbers do not depend on it either.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Crew:
    """So many threads, in each of which torch uses no further ones.

    They flush subnormal numbers if the thread that makes the crew does.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        if threads > 1:
            before = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(threads, "crew", initializer=_use_no_others)
            barrier = Barrier(threads)
            list(self._pool.map(lambda _: barrier.wait(), range(threads)))  # start them all
            torch.set_num_threads(before)  # threads to come take over the number set last

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """The function's results for all items, in their order.

        The function runs in other threads, where gradients are recorded unless it says otherwise.
        """
        if self._pool is None or len(items) == 1:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))


def _use_no_others() -> None:
    torch.get_num_threads()  # a thread's first such call takes over the number set last
    torch.set_num_threads(1)

"""Threads that take whole chunks of rows."""

from threading import Barrier

import pytest
import torch

from grok_cli.core.engines.fast.crew import Crew
from tests.waiting import PATIENCE


def test_a_crew_keeps_order_uses_one_thread_each_and_hands_on_errors() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        crew = Crew(3)
        threads = crew.map(lambda i: (i, torch.get_num_threads()), range(7))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert threads == [(i, 1) for i in range(7)]
    with pytest.raises(ZeroDivisionError):
        crew.map(lambda i: 1 / i, range(3))


def test_a_crew_computes_two_items_at_once() -> None:
    meeting = Barrier(2, timeout=PATIENCE)  # broken, if the second does not come
    assert sorted(Crew(2).map(lambda _: meeting.wait(), range(2))) == [0, 1]

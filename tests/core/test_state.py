"""A state that is read from a file is refused with what is wrong in it, and where."""

from typing import Any

import pytest
import torch

from grok_cli.core.phases import Phases
from grok_cli.core.state import check_alike, check_phases

STATE: dict[str, Any] = {"m": [torch.zeros(2, 3), torch.zeros(4)], "t": [torch.zeros(())]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"m": [torch.zeros(2, 3), torch.zeros(5)]}, ".m.1: expected a tensor of shape (4,)"),
        ({"m": [torch.zeros(3, 2), torch.zeros(4)]}, ".m.0: expected a tensor of shape (2, 3)"),
        ({"m": [torch.zeros(2, 3), 0.0]}, ".m.1: expected a tensor of shape (4,)"),
        (
            {"m": [torch.zeros(2, 3), torch.zeros(4).double()]},
            ".m.1: expected torch.float32, found torch.float64",
        ),
        ({"m": [torch.zeros(2, 3)]}, ".m: expected 2 tensors, found others"),
        ({"m": None}, ".m: expected 2 tensors, found others"),
        ({"more": []}, ": expected 2 tensors, found others"),
    ],
)
def test_other_tensors_are_refused_by_their_place(other: dict[str, Any], message: str) -> None:
    check_alike(STATE, STATE, "optimizer")
    with pytest.raises(ValueError, match="expected") as caught:
        check_alike(STATE | other, STATE, "optimizer")
    assert str(caught.value) == f"optimizer{message}"


def test_a_phase_began_at_a_step_that_was_made() -> None:
    fresh = Phases().state()
    names = ("memorised", "generalised", "sustained", "collapsed", "_streak")
    for name in names:
        for step in (None, 1, 7):
            check_phases(fresh | {name: step}, 7)
        for step in (0, 8, 1.0, True, "1"):
            with pytest.raises(ValueError, match="none of a run") as caught:
                check_phases(fresh | {name: step}, 7)
            assert str(caught.value) == f"phases.{name}: {step!r} is none of a run at step 7"
    for accuracy in (0.0, 1.0):
        check_phases(fresh | {"_test_accuracy": accuracy}, 7)
    for wrong in (-0.1, 1.1, float("nan"), 1, None):
        with pytest.raises(ValueError, match=r"^phases\._test_accuracy: "):
            check_phases(fresh | {"_test_accuracy": wrong}, 7)
    for found in (None, [], {}, fresh | {"other": 1}):
        with pytest.raises(ValueError, match="phases") as caught:
            check_phases(found, 7)
        assert str(caught.value) == f"phases: expected {', '.join(names)}, _test_accuracy"

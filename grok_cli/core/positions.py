"""Which of a row's three positions the last block computes: only the last one is read."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

POSITIONS = 3  # of a row: a, b and "="


class Computed(NamedTuple):
    """How many of the last positions the last block computes.

    Attributes:
        attending: positions that are queries of its attention.
        passed_on: positions that are computed after its attention, at most `attending`.
    """

    attending: int = POSITIONS
    passed_on: int = POSITIONS


EVERYTHING = Computed()
ANSWER_ONLY = Computed(1, 1)
ALL_ATTENTION = Computed(POSITIONS, 1)


def last(x: Float[Tensor, "*batch pos d"], count: int) -> Float[Tensor, "*batch last d"]:
    """The last positions."""
    return x if x.shape[-2] == count else x[..., -count:, :]

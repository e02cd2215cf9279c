"""The checker of shapes that the tests run with: what passed once is no licence for others."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor

from tests.shapes import check


@jaxtyped(typechecker=check)
def scaled(
    rows: Float[Tensor, "n m"], by: Float[Tensor, " m"], result: Tensor
) -> Float[Tensor, "2 m"]:
    return result


@jaxtyped(typechecker=check)
def joined(parts: list[Float[Tensor, " m"]]) -> None: ...


GOOD, BY = torch.zeros(2, 3), torch.zeros(3)


@pytest.mark.parametrize(
    "wrong",
    [
        (GOOD, torch.zeros(2), GOOD),
        (GOOD, BY.long(), GOOD),
        (BY, BY, GOOD),
        (GOOD, None, GOOD),
        (GOOD, BY, torch.zeros(2, 4)),
        (GOOD, BY, GOOD.bool()),
    ],
)
def test_wrong_shapes_are_refused_after_right_ones(wrong: tuple[Tensor, ...]) -> None:
    for _ in range(2):
        assert scaled(GOOD, BY, GOOD) is GOOD
        with pytest.raises(TypeCheckError):
            scaled(*wrong)


def test_what_a_list_holds_is_looked_at_each_time() -> None:
    joined([BY])
    with pytest.raises(TypeCheckError):
        joined([GOOD])


def test_functions_of_one_name_have_checks_of_their_own() -> None:
    def made(shape: str):  # type: ignore[no-untyped-def]
        @jaxtyped(typechecker=check)
        def function(x: Float[Tensor, shape]) -> None: ...

        return function

    made("n")(torch.zeros(3))
    made("n m")(torch.zeros(3, 4))
    with pytest.raises(TypeCheckError):
        made("n m")(torch.zeros(3))

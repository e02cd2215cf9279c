"""The checker of shapes that the tests run with: what passed once is no licence for others."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.shapes import checked


@checked
def scaled(
    rows: Float[Tensor, "n m"], by: Float[Tensor, " m"], result: Tensor
) -> Float[Tensor, "2 m"]:
    return result


@checked
def joined(parts: list[Float[Tensor, " m"]]) -> None: ...


@checked
def nested(parts: list[list[Float[Tensor, " m"]]]) -> None: ...


@checked
def paired(pair: tuple[list[Float[Tensor, " m"]], int]) -> None: ...


@checked
def held(pair: tuple[str, Float[Tensor, " m"]], more: dict[str, Float[Tensor, " m"]]) -> None: ...


@checked
def zeros(n: int) -> Float[Tensor, "3"]:
    return torch.zeros(n)


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


def test_every_item_of_a_mixed_list_has_its_turn() -> None:
    """A call looks at one of them; that it passed is no reason to look at no other."""
    mixed = [*[BY] * 49, GOOD]

    def look_often(function: Callable[[Any], None], items: Any) -> None:
        for _ in range(2000):
            function(items)

    for function, items in ((joined, mixed), (nested, [mixed]), (paired, (mixed, 0))):
        with pytest.raises(TypeCheckError):
            look_often(function, items)


@pytest.mark.parametrize(
    "wrong", [(("rows", GOOD), {"by": BY}), (("rows", BY), {"by": GOOD}), ((BY, BY), {"by": BY})]
)
def test_what_tuples_and_dictionaries_hold_is_looked_at_each_time(wrong: tuple[Any, Any]) -> None:
    held(("rows", BY), {"by": BY})
    with pytest.raises(TypeCheckError):
        held(*wrong)


def test_a_result_may_be_wrong_for_arguments_that_passed() -> None:
    assert zeros(3).shape == (3,)
    for _ in range(2):
        with pytest.raises(TypeCheckError):
            zeros(4)


def test_functions_of_one_name_have_checks_of_their_own() -> None:
    def made(shape: str):  # type: ignore[no-untyped-def]
        @checked
        def function(x: Float[Tensor, shape]) -> None: ...

        return function

    made("n")(torch.zeros(3))
    made("n m")(torch.zeros(3, 4))
    with pytest.raises(TypeCheckError):
        made("n m")(torch.zeros(3))

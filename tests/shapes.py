"""The run-time type checker of the tests, which takes an int for a float as Python does.

A training calls the same functions with the same shapes at every step. So in a process each is
checked once for each kind of arguments: checked at every call, it took most of a training's time.
"""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch
from beartype import BeartypeConf, beartype

Checked = Callable[..., Any]
annotated = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checkers: dict[Hashable, Checked] = {}


def check(function: Checked) -> Checked:
    """The checker of what jaxtyping makes of a function: its signature, with nothing behind it.

    A function within another is made at each call of that; its checker is made once.
    """
    code, annotations = function.__code__, function.__annotations__
    made_of = (function.__module__, function.__qualname__, code.co_varnames, *annotations.items())
    if made_of not in _checkers:
        _checkers[made_of] = once_for_each_kind(annotated(function))
    return _checkers[made_of]


def once_for_each_kind(checked: Checked) -> Checked:
    passed = set[Hashable]()

    @functools.wraps(checked)
    def once(*args: Any, **named: Any) -> Any:
        kinds = tuple(map(kind, (*args, *named.values())))
        call = (len(args), *named, kinds)
        if None in kinds or call not in passed:
            checked(*args, **named)
            passed.add(call)

    return once


def kind(value: Any) -> Hashable:
    """All that annotations tell apart: shape and numbers of arrays, otherwise the type.

    None for what holds values of its own: they may be of other kinds each time.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return type(value), tuple(value.shape), value.dtype
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        return None
    return value if isinstance(value, str) else type(value)

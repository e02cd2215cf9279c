"""The run-time check of shapes that the tests run with, which takes an int for a float.

A training calls the same functions with the same shapes at every step. So in a process each
function is checked once for each kind of arguments and result: checked at every call, it took most
of a training's time.
"""

import functools
import threading
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any

import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype
from torch import Tensor

Function = Callable[..., Any]
fully_checked = functools.partial(
    jaxtyping.jaxtyped, typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True))
)
_passed: dict[Hashable, set[Hashable]] = {}


def checked(function: Function) -> Function:
    """The function, whose arguments and result are compared with its annotations.

    A function within another is made at each call of that; what has passed is kept for all of them.
    """
    code, annotations = function.__code__, function.__annotations__
    made_of = (function.__module__, function.__qualname__, code.co_varnames, *annotations.items())
    passed = _passed.setdefault(made_of, set())
    given = threading.local()
    whole = functools.cache(lambda: fully_checked(function))  # made when it is first called
    result_alone = functools.cache(
        lambda: fully_checked(functools.wraps(function)(lambda *_, **__: given.result))
    )

    @functools.wraps(function)
    def once_for_each_kind(*args: Any, **named: Any) -> Any:
        call = (len(args), *named, *map(kind, (*args, *named.values())))
        seen = call in passed
        result = (function if seen else whole())(*args, **named)
        if (call, kind(result)) not in passed:
            if seen:  # with a result of another kind
                given.result = result
                result_alone()(*args, **named)
            passed.update(what for what in (call, (call, kind(result))) if None not in what)
        return result

    return once_for_each_kind


def kind(value: Any) -> Hashable:
    """All that annotations tell apart: shape and numbers of arrays, the kinds of what a container
    holds, otherwise the type.

    None, which is checked at every call, for lists that hold several kinds: of a list beartype
    looks at one item, another each time. Of a dictionary or set it looks at the first.
    """
    return _kinds_of(type(value))(value)


@functools.cache
def _kinds_of(type_: type) -> Callable[[Any], Hashable]:
    def of_items(value: Any) -> Hashable:
        kinds = tuple(map(kind, value))
        return None if None in kinds else (type_, *kinds)

    def of_list(value: Any) -> Hashable:
        kinds = set(map(kind, value))
        return None if None in kinds or len(kinds) > 1 else (type_, *kinds)

    if issubclass(type_, (Tensor, np.ndarray)):
        return lambda value: (type_, value.shape, value.dtype)
    if issubclass(type_, str):
        return lambda value: value
    if issubclass(type_, tuple):
        return of_items
    if issubclass(type_, list):
        return of_list
    if issubclass(type_, dict):
        return lambda value: of_items(islice(value.items(), 1))
    if issubclass(type_, (set, frozenset)):
        return lambda value: of_items(islice(value, 1))
    return lambda value: type_


def check_modules(names: tuple[str, ...]) -> None:
    """Let every function of these modules be checked from its import on; dataclasses as well."""

    def jaxtyped(what: Any = None, *, typechecker: Any) -> Any:
        if what is None:
            return functools.partial(jaxtyped, typechecker=typechecker)
        return fully_checked(what) if isinstance(what, type) else checked(what)

    jaxtyping.install_import_hook(names, None)
    jaxtyping.jaxtyped = jaxtyped  # what the hook puts around each function

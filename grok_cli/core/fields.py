"""From {key: value} to a frozen model, and from its fields to what is said of them.

The configuration of a run and the options of an executor are both pydantic models: their keys,
their mistakes and their flags are treated here and in `cli/options.py` in one way.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from grok_cli.errors import UsageError, did_you_mean

COLLECTIONS = {  # what is expected, by pydantic's name of the mistake
    "tuple_type": "a list such as [a, b]",
    "list_type": "a list such as [a, b]",
    "dict_type": "names and values such as {a: 1}",
}
Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SettingsError(UsageError):
    """Settings that cannot be used; the message is meant for the user."""


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by key: "cpus", or "train.steps" of a model in a model."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            below = fields_of(field.annotation)
            fields |= {f"{name}.{key}": inner for key, inner in below.items()}
        else:
            fields[name] = field
    return fields


def value_type(field: FieldInfo) -> Any:
    """The type of a field's values, None aside: int, str, dict, Literal, ..."""
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [one for one in get_args(kind) if one is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else Any
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind if get_origin(kind) in (None, Literal) else get_origin(kind)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a field that has a fixed set of them; () of any other."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "enum" in extra:
        return tuple(map(str, extra["enum"]))  # type: ignore[arg-type]
    kind = value_type(field)
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def checked(
    model: type[Model], values: Mapping[str, Any], source: str | Mapping[str, str] = "settings"
) -> Model:
    """The model with these values.

    Args:
        values: {key: value}, with the keys of `fields_of`, all of them known.
        source: where the values come from, for messages; or where that of each key does.

    Raises:
        SettingsError: a value of the wrong type or range, or an impossible combination.
    """
    fields = fields_of(model)
    nested: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, bool) and fields[key].annotation is not bool:  # not taken for 1
            raise SettingsError(located(key, "expected a value, not a boolean", source))
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    try:
        return model.model_validate(nested)
    except ValidationError as error:
        raise SettingsError(located(*_problem(error, model), source)) from None


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation error in a line: key, what was expected and found."""
    key, message = _problem(error, model)
    return f"{key}: {message}" if key else message


def located(key: str, message: str, source: str | Mapping[str, str]) -> str:
    """A message about a key behind where its value, or else any, was set.

    Args:
        key: "" if the message names it by itself; further parts ("options.nice") are shown.
    """
    if not isinstance(source, str):
        named = key or message.partition(":")[0]
        places = [place for known, place in source.items() if f"{named}.".startswith(f"{known}.")]
        every = " and ".join(dict.fromkeys(source.values()))
        source = places[0] if places else every or "settings"
    if not key or source == f"--{key.replace('_', '-')}":  # the flag says it
        return f"{source}: {message}"
    return f"{source}: {key}: {message}"


def _problem(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """The key, and what is wrong; the key is "" if the message names it by itself."""
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    names = [name for name in fields_of(model) if f"{key}.".startswith(f"{name}.")]
    if not names:  # a combination, whose message says it, or a key that is not known
        return "" if problem["type"] == "value_error" else key, message
    if problem["type"] != "value_error":
        expected = COLLECTIONS.get(problem["type"], message.removeprefix("Input should be "))
        message = f"expected {expected}"
    elif not message.startswith("expected "):
        return key, message
    hint = did_you_mean(problem["input"], choices(fields_of(model)[names[0]]))
    return key, f"{message}, found {problem['input']!r:.60}{hint and '; '}{hint}"

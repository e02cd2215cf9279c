"""From keys and values to a frozen model, with one message for everything that is wrong."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from grok_cli.core.fields import (
    SettingsError,
    checked,
    choices,
    fields_of,
    first_problem,
    located,
    value_type,
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(3, ge=1)
    kind: Literal["round", "square"] = "round"
    on: bool = False


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner = Field(default_factory=Inner)
    name: str | None = None
    parts: dict[str, int] = Field(default_factory=dict)
    known: Annotated[str, Field(json_schema_extra={"enum": ["red", "blue"]})] = "red"
    either: int | str = 0
    sizes: tuple[int, ...] = ()
    names: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> "Outer":
        if self.inner.size > 9:
            raise ValueError("inner.size: 10 does not fit; expected at most 9")
        return self


def test_fields_of_a_model_in_a_model_have_its_name_before_theirs() -> None:
    assert list(fields_of(Outer)) == [
        *("inner.size", "inner.kind", "inner.on"),
        *("name", "parts", "known", "either", "sizes", "names"),
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("inner.size", int),
        ("name", str),
        ("parts", dict),
        ("either", Any),
        ("inner.kind", Literal["round", "square"]),
    ],
)
def test_type_of_a_field_leaves_none_aside(key: str, expected: object) -> None:
    assert value_type(fields_of(Outer)[key]) == expected


def test_choices_are_those_of_a_literal_or_of_the_schema() -> None:
    fields = fields_of(Outer)
    assert choices(fields["inner.kind"]) == ("round", "square")
    assert choices(fields["known"]) == ("red", "blue")
    assert choices(fields["name"]) == choices(fields["inner.size"]) == ()


def test_values_by_key_make_the_model() -> None:
    made = checked(Outer, {"inner.size": 5, "inner.on": True, "name": "x"})
    assert made == Outer(inner=Inner(size=5, on=True), name="x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner.size": True}, "file: inner.size: expected a value, not a boolean"),
        ({"inner.size": 0}, "file: inner.size: expected greater than or equal to 1, found 0"),
        (
            {"inner.kind": "squar"},
            "file: inner.kind: expected 'round' or 'square', found 'squar'; did you mean square?",
        ),
        (
            {"parts": "a:1"},
            "file: parts: expected names and values such as {a: 1}, found 'a:1'",
        ),
        ({"sizes": 5}, "file: sizes: expected a list such as [a, b], found 5"),
        ({"names": "a,b"}, "file: names: expected a list such as [a, b], found 'a,b'"),
        ({"inner.kind": "z"}, "file: inner.kind: expected 'round' or 'square', found 'z'"),
        (
            {"inner.size": 10},
            "file: inner.size: 10 does not fit; expected at most 9",
        ),
    ],
)
def test_a_mistake_is_one_line_with_key_expectation_and_value(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        checked(Outer, values, "file")
    assert str(caught.value) == message
    with pytest.raises(SettingsError, match=r"^settings: "):
        checked(Outer, values)


def test_what_was_found_is_shown_to_sixty_characters() -> None:
    with pytest.raises(SettingsError) as caught:
        checked(Outer, {"parts": {"a": "x" * 200}}, "file")
    assert str(caught.value).startswith("file: parts.a: expected ")
    assert str(caught.value).endswith(", found '" + "x" * 59)


def test_an_explanation_names_the_key_unless_the_message_does() -> None:
    for values, words in (
        ({"inner": {"size": 0}}, "inner.size: expected greater than or equal to 1, found 0"),
        ({"inner": {"size": 10}}, "inner.size: 10 does not fit; expected at most 9"),
        ({"inner": {"colour": 1}}, "inner.colour: Extra inputs are not permitted"),
    ):
        with pytest.raises(ValidationError) as caught:
            Outer.model_validate(values)
        assert first_problem(caught.value, Outer) == words


@pytest.mark.parametrize(
    ("key", "source", "expected"),
    [
        ("cpus", "--cpus", "--cpus: wrong"),
        ("slurm_time", "--slurm-time", "--slurm-time: wrong"),
        ("cpus", "a file", "a file: cpus: wrong"),
        ("", "a file", "a file: wrong"),
        ("a.b", {"a.b": "--set", "c": "file"}, "--set: a.b: wrong"),
        ("a.b.nice", {"c": "file", "a.b": "--set"}, "--set: a.b.nice: wrong"),
        ("a.bc", {"a.b": "--set", "a.bc": "file"}, "file: a.bc: wrong"),
        ("z", {"a": "--set", "b": "file", "c": "--set"}, "--set and file: z: wrong"),
        ("z", {}, "settings: z: wrong"),
    ],
)
def test_a_message_stands_behind_where_the_value_was_set(
    key: str, source: Any, expected: str
) -> None:
    assert located(key, "wrong", source) == expected


def test_a_message_that_names_its_key_is_placed_by_it() -> None:
    source = {"a": "--set", "b": "file"}
    assert located("", "b: too much", source) == "file: b: too much"

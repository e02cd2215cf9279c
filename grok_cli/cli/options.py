"""Flags that set fields of a pydantic model: a run's configuration, an executor's options.

Help, type, default and completion of a flag come from the field, so that they are written once;
what was typed keeps the flag's name, so that a message can say it.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic.fields import FieldInfo

from grok_cli.cli import completion
from grok_cli.cli.parameters import option
from grok_cli.core.config import Config
from grok_cli.core.fields import choices, fields_of, value_type
from grok_cli.errors import UsageError
from grok_cli.runs.settings import SHORT_NAMES, layered, parse_value

SETTINGS_PANEL = "Settings of a run"
MEASURE = "--measure"
FLAGS = {  # {flag: setting}; --measure has a form of its own
    flag: key
    for name, key in SHORT_NAMES.items()
    if (flag := f"--{name.replace('_', '-')}") != MEASURE
}
WIDEST_CHOICES = 30  # characters of a list of choices that stands behind its flag
PLACEHOLDERS = {bool: "", dict: "KEY=VALUE", int: "N", float: "NUMBER"}


@dataclass(frozen=True)
class Flag:
    """A flag that sets a field.

    Attributes:
        name: as it is typed, e.g. --lr.
        key: what it sets: a key of `fields_of` the model.
        field: the model's field, which says the rest.
        panel: the heading under which the help shows it.
    """

    name: str
    key: str
    field: FieldInfo
    panel: str

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        return self.name.removeprefix("--").replace("-", "_")

    def signature(self) -> inspect.Parameter:
        """The parameter, as Typer reads it."""
        kind = value_type(self.field)
        names = choices(self.field)
        default = "" if self.field.default in (None, {}) else f" [default: {self.field.default}]"
        together = "|".join(names)
        few = together if len(together) <= WIDEST_CHOICES else "NAME"
        placeholder = PLACEHOLDERS.get(kind, few or "VALUE")
        flag = option(
            (self.field.description or "") + ("" if kind is bool else default),
            self.name,
            metavar=placeholder,
            rich_help_panel=self.panel,
            show_default=False,
            autocompletion=completion.among(names) if names else None,
        )
        typed = {bool: bool, dict: list[str]}.get(kind, str)
        return parameter(self.parameter, typed, flag)

    def read(self, typed: Any) -> Any:
        """The value that a typed text means; texts where the field holds a text."""
        kind = value_type(self.field)
        if kind is dict:
            return dict(_pair(self.name, text) for text in typed)
        return parse_value(typed) if kind in (int, float) else typed


@dataclass(frozen=True)
class Typed:
    """What the user typed to set configuration keys."""

    file: Path | None
    flags: dict[str, tuple[str, Any]]
    sets: list[str]

    def resolve(self) -> tuple[Config, dict[str, str]]:
        """The configuration and the origin of each value; SettingsError if it is not valid."""
        return layered(self.file, self.flags, self.sets)


def with_config_options(
    *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that set configuration keys.

    The command's parameter `typed` receives what was typed, as `Typed`.

    Args:
        without: flags that the command does not have.
    """
    fields = fields_of(Config)
    flags = [
        Flag(name, key, fields[key], SETTINGS_PANEL)
        for name, key in FLAGS.items()
        if name not in without
    ]

    def collect(arguments: dict[str, Any]) -> Typed:
        file, sets = arguments.pop("config_file"), arguments.pop("sets")
        measures = arguments.pop("measure")
        given = take_flags(flags, arguments)
        if measures:
            given["measure.diagnostics"] = (MEASURE, dict(map(_measure, listed(measures))))
        return Typed(file, given, sets or [])

    def setting(help: str, *names: str, **more: Any) -> Any:
        return option(help, *names, rich_help_panel=SETTINGS_PANEL, **more)

    file = setting("Settings; flags win over them.", "--config", "-c", metavar="FILE.yaml")
    measures = setting(
        "Compute diagnostics every so many steps, e.g. rank:200 (repeatable).",
        *(MEASURE, "-m"),
        metavar="NAME:EVERY,...",
        autocompletion=completion.scheduled_diagnostics,
    )
    sets = setting(
        "Any other setting (repeatable); `grok config schema` lists them.",
        *("--set", "-s"),
        metavar="SECTION.KEY=VALUE",
        autocompletion=completion.assignments,
    )
    shared = [
        parameter("config_file", Path, file),
        *(flag.signature() for flag in flags),
        parameter("measure", list[str], measures),
        parameter("sets", list[str], sets),
    ]
    return with_options("typed", shared, collect)


def with_options(
    receiver: str,
    options: Sequence[inspect.Parameter],
    collect: Callable[[dict[str, Any]], Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command options that reach it together.

    Args:
        receiver: the command's parameter that gets what `collect` returns.
        collect: takes the options' values out of the command's arguments.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def wrapper(**arguments: Any) -> Any:
            together = collect(arguments)
            return command(**{receiver: together}, **arguments)

        own = [p for p in signature.parameters.values() if p.name != receiver]
        wrapper.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return wrapper

    return decorate


def take_flags(flags: Iterable[Flag], arguments: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """{key: (flag, value)} of the flags that were typed, taken out of a command's arguments."""
    given = {}
    for flag in flags:
        typed = arguments.pop(flag.parameter)
        if typed not in (None, []):
            given[flag.key] = (flag.name, flag.read(typed))
    return given


def parameter(name: str, kind: Any, flag: Any) -> inspect.Parameter:
    """An option of a command that need not be typed."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, flag],
    )


def listed(texts: Iterable[str] | None) -> list[str]:
    """The members of a list option, which may be repeated and may hold several between commas."""
    parts = [part.strip() for text in texts or () for part in text.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def _pair(flag: str, text: str) -> tuple[str, str | bool]:
    """A member of a mapping; one without a value, as sbatch's --exclusive, is true."""
    name, equals, value = text.removeprefix("--").partition("=")
    if not name or (equals and not value):
        raise UsageError(f"{flag} {text}: expected KEY=VALUE")
    return name, value if equals else True


def _measure(text: str) -> tuple[str, Any]:
    name, colon, every = text.partition(":")
    if not colon:
        raise UsageError(f"{MEASURE} {text}: expected NAME:EVERY, e.g. {name}:200")
    return name, parse_value(every)

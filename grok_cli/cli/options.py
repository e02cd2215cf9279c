"""Options that set configuration keys, shared by all commands that take a configuration.

`FLAGS` says which keys have a flag of their own; help text, type and completion of a flag come
from the key's field, so that they are written once.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from grok_cli.core.config import SECTIONS, Config
from grok_cli.errors import UsageError
from grok_cli.runs.settings import layered, parse_value

FLAGS = {
    "--ln-type": "model.ln_type",
    "--seed": "train.seed",
    "--steps": "train.steps",
    "--lr": "opt.learning_rate",
    "--weight-decay": "opt.weight_decay",
    "--task": "data.task",
    "--modulus": "data.modulus",
    "--layers": "model.n_layers",
    "--d-model": "model.d_model",
    "--eval-every": "train.eval_every",
    "--device": "run.device",
    "--threads": "run.threads",
    "--wandb": "wandb.mode",
}
UNTIL_GROKKED, MEASURE = "--until-grokked", "--measure"


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
    flags = {flag: key for flag, key in FLAGS.items() if flag not in without}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def wrapper(**arguments: Any) -> Any:
            file = arguments.pop("config_file")
            sets = arguments.pop("sets") or []
            given: dict[str, tuple[str, Any]] = {}
            for flag, key in flags.items():
                text = arguments.pop(_parameter_name(flag))
                if text is not None:
                    given[key] = (flag, parse_value(text))
            if (until_grokked := arguments.pop("until_grokked")) is not None:
                given["train.until_grokked"] = (UNTIL_GROKKED, until_grokked)
            if measures := arguments.pop("measure"):
                given["measure.diagnostics"] = (MEASURE, dict(map(_parse_measure, measures)))
            return command(typed=Typed(file, given, sets), **arguments)

        own = [p for p in signature.parameters.values() if p.name != "typed"]
        wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                *(p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD),
                *_shared_parameters(flags),
                *(p for p in own if p.kind is p.KEYWORD_ONLY),
            ]
        )
        return wrapper

    return decorate


def _shared_parameters(flags: dict[str, str]) -> list[inspect.Parameter]:
    def parameter(name: str, kind: Any, option: Any) -> inspect.Parameter:
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )

    return [
        parameter(
            "config_file",
            Path,
            typer.Option(
                "--config", "-c", metavar="FILE.yaml", help="Settings; flags win over them."
            ),
        ),
        *(parameter(_parameter_name(flag), str, _option(flag, key)) for flag, key in flags.items()),
        parameter(
            "until_grokked",
            bool,
            typer.Option(UNTIL_GROKKED, help=_help("train.until_grokked"), show_default=False),
        ),
        parameter(
            "measure",
            list[str],
            typer.Option(
                MEASURE,
                metavar="NAME:EVERY",
                help="Compute a diagnostic every so many steps, e.g. rank:200 (repeatable).",
            ),
        ),
        parameter(
            "sets",
            list[str],
            typer.Option(
                "--set",
                "-s",
                metavar="SECTION.KEY=VALUE",
                help="Any other setting (repeatable); `grok config schema` lists them.",
            ),
        ),
    ]


def _option(flag: str, key: str) -> Any:
    section, _, name = key.partition(".")
    field = SECTIONS[section].model_fields[name]
    default = "" if field.default is None else f" [default: {field.default}]"
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    choices: Any = extra.get("enum") or getattr(field.annotation, "__args__", ())
    names = [choice for choice in choices if isinstance(choice, str)]
    numbers = {int: "INTEGER", float: "NUMBER"}
    return typer.Option(
        flag,
        metavar=numbers.get(field.annotation, "NAME" if names else "VALUE"),  # type: ignore[arg-type]
        help=escape(_help(key) + default),
        autocompletion=lambda incomplete: [n for n in names if n.startswith(incomplete)],
    )


def _help(key: str) -> str:
    section, _, name = key.partition(".")
    return SECTIONS[section].model_fields[name].description or ""


def _parameter_name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _parse_measure(text: str) -> tuple[str, Any]:
    name, colon, every = text.partition(":")
    if not colon:
        raise UsageError(f"{MEASURE} {text}: expected NAME:EVERY, e.g. {name}:200")
    return name, parse_value(every)

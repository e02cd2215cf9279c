"""Options of `grok sweep` that say where runs are trained.

`FLAGS` names the fields of the executors' options (executors/) that have a flag; help
texts come from there, so that they are written once.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape

from grok_cli.errors import UsageError
from grok_cli.executors.registry import KINDS, ExecutorOptions, build_options

FLAGS = {
    "--jobs": "jobs",
    "--cpus": "cpus",
    "--gpus": "gpus",
    "--memory": "memory",
    "--partition": "partition",
    "--account": "account",
    "--time": "time",
    "--runs-per-job": "runs_per_job",
    "--slurm-option": "options",
    "--address": "address",
    "--storage": "storage",
    "--lost-retries": "lost_retries",
}
METAVARS = {
    **{"--jobs": "N|auto", "--cpus": "N", "--gpus": "N", "--memory": "SIZE", "--time": "LIMIT"},
    **{"--partition": "NAME", "--account": "NAME", "--runs-per-job": "N", "--lost-retries": "N"},
    **{"--slurm-option": "KEY=VALUE", "--address": "ADDRESS", "--storage": "shared|driver"},
}


@dataclass(frozen=True)
class TypedExecutor:
    """What the user typed about the executor: its kind, and {field: (flag, value)}."""

    kind: str | None
    flags: dict[str, tuple[str, Any]]

    def resolve(self, section: Any, source: str) -> ExecutorOptions:
        """The options, with the `executor:` section of a sweep file; UsageError if wrong."""
        return build_options(section, source, self.kind, self.flags)


def with_executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--executor` and the flags of all executors.

    The command's parameter `executor` receives what was typed, as `TypedExecutor`.
    """
    signature = inspect.signature(command)

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        flags: dict[str, tuple[str, Any]] = {}
        for flag, field in FLAGS.items():
            value = arguments.pop(_parameter_name(flag))
            if value:
                flags[field] = (flag, _mapping(flag, value) if field == "options" else value)
        typed = TypedExecutor(arguments.pop("executor"), flags)
        return command(executor=typed, **arguments)

    own = [p for p in signature.parameters.values() if p.name != "executor"]
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *own,
            _parameter("--executor", str, _choice()),
            *(
                _parameter(flag, _type(field), _option(flag, field))
                for flag, field in FLAGS.items()
            ),
        ]
    )
    return wrapper


def _choice() -> Any:
    return typer.Option(
        "--executor",
        metavar="|".join(KINDS),
        help=escape("Where runs are trained. [default: local; or what the sweep file says]"),
        autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
    )


def _option(flag: str, field: str) -> Any:
    owners = [kind for kind, model in KINDS.items() if field in model.model_fields]
    described = KINDS[owners[0]].model_fields[field]
    default = "" if described.default in (None, {}) else f" [default: {described.default}]"
    panel = None if owners == ["local"] else f"With --executor {' or '.join(owners)}"
    return typer.Option(
        flag,
        metavar=METAVARS[flag],
        help=escape((described.description or "") + default),
        rich_help_panel=panel,
    )


def _type(field: str) -> Any:
    return list[str] if field == "options" else str


def _parameter(flag: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        _parameter_name(flag),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _mapping(flag: str, texts: list[str]) -> dict[str, str | bool]:
    """The options of sbatch that were typed; one without a value, as --exclusive, is true."""
    options: dict[str, str | bool] = {}
    for text in texts:
        name, equals, value = text.removeprefix("--").partition("=")
        if not name or (equals and not value):
            raise UsageError(f"{flag} {text}: expected KEY=VALUE, e.g. constraint=avx512")
        options[name] = value if equals else True
    return options


def _parameter_name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")

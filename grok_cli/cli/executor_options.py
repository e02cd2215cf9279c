"""Options of `grok sweep` that say where runs are trained: those of every executor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grok_cli.cli import completion
from grok_cli.cli.options import FLAGS, Flag, parameter, take_flags, with_options
from grok_cli.cli.parameters import option
from grok_cli.executors.options import ExecutorOptions
from grok_cli.executors.registry import EXECUTORS, build_options

PANEL = "Where runs are trained"


@dataclass(frozen=True)
class TypedExecutor:
    """What the user typed about the executor: its kind, and {field: (flag, value)}."""

    kind: str | None
    flags: dict[str, tuple[str, Any]]

    def resolve(self, section: Any, source: str) -> ExecutorOptions:
        """The options, with the `executor:` section of a sweep file; UsageError if wrong."""
        return build_options(section, source, self.kind, self.flags)


def executor_flags() -> list[Flag]:
    """A flag of each name that executors have, with the help of the first that has it.

    A name that sets a run's setting stays with that.
    """
    owners: dict[str, dict[str, type[ExecutorOptions]]] = {}
    for kind, options in EXECUTORS.usable().items():
        for name in options.flags:
            if name not in FLAGS:
                owners.setdefault(name, {})[kind] = options
    flags = []
    for name, by_kind in owners.items():
        first = next(iter(by_kind.values()))
        key, kinds = first.flags[name], " or ".join(by_kind)
        heading = PANEL if kinds == "local" else f"With --executor {kinds}"
        flags.append(Flag(name, key, first.model_fields[key], heading))
    return flags


def with_executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--executor` and the flags of all executors.

    The command's parameter `executor` receives what was typed, as `TypedExecutor`.
    """
    flags = executor_flags()
    kind = option(
        "Where runs are trained. [default: local; or what the sweep file says]",
        "--executor",
        metavar="|".join(EXECUTORS),
        rich_help_panel=PANEL,
        autocompletion=completion.executors,
    )

    def collect(arguments: dict[str, Any]) -> TypedExecutor:
        return TypedExecutor(arguments.pop("kind"), take_flags(flags, arguments))

    options = [parameter("kind", str, kind), *(flag.signature() for flag in flags)]
    return with_options("executor", options, collect)(command)

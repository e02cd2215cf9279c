"""The kinds of executor, their options, and how one is made.

Options come from the section `executor:` of a sweep file and from flags, which win:

    executor: {kind: slurm, partition: cpu, time: 4:00:00, options: {constraint: avx512}}

What an option does is written once, beside its field; it is the help text of the flag, too.
"""

import difflib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grok_cli.errors import UsageError
from grok_cli.executors.base import Executor
from grok_cli.executors.local import LocalExecutor, LocalOptions
from grok_cli.executors.ray.options import RayOptions
from grok_cli.executors.slurm.options import SlurmOptions

ExecutorOptions = LocalOptions | SlurmOptions | RayOptions
KINDS: dict[str, type[LocalOptions] | type[SlurmOptions] | type[RayOptions]] = {
    "local": LocalOptions,
    "slurm": SlurmOptions,
    "ray": RayOptions,
}


def build_options(
    section: Any,
    source: str,
    kind: str | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> ExecutorOptions:
    """The options that a sweep file's section and flags give.

    Args:
        section: the content of `executor:`; None if there is none, a text for the kind alone. It
            does not count where `kind` names another executor.
        source: where the section is from, for messages.
        kind: the executor that was typed, if one was.
        flags: {field: (flag as typed, value)}.

    Raises:
        UsageError: an unknown executor, an option that it does not have, or a value out of range.
    """
    section = {"kind": section} if isinstance(section, str) else section or {}
    if not isinstance(section, Mapping):
        raise UsageError(f"{source}: executor: expected kind and options, found {section!r:.60}")
    written = section.get("kind")
    if section and written is None:
        raise UsageError(f"{source}: executor: expected kind: {', '.join(KINDS)}")
    if written is not None and written not in KINDS:
        raise UsageError(f"{source}: executor: unknown kind {written}; {_nearest(written, KINDS)}")
    if kind is not None and kind not in KINDS:
        raise UsageError(f"--executor {kind}: {_nearest(kind, KINDS)}")
    chosen = kind or written or "local"
    model = KINDS[chosen]
    values: dict[str, Any] = dict(section) if written == chosen else {"kind": chosen}
    for name in values:
        if name not in model.model_fields:
            hint = _nearest(name, model.model_fields)
            raise UsageError(f"{source}: executor: {chosen} has no option {name}; {hint}")
    origin = dict.fromkeys(values, f"{source}: executor: ")
    for name, (flag, value) in (flags or {}).items():
        if name not in model.model_fields:
            owners = [other for other, options in KINDS.items() if name in options.model_fields]
            raise UsageError(
                f"{flag}: an option of --executor {' and '.join(owners)}, not of {chosen}; leave "
                "it out, or choose that executor"
            )
        if isinstance(value, dict):  # flags add to what the file says
            value = {**(values.get(name) or {}), **value}
        values[name] = value
        origin[name] = f"{flag}: "
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if problem["type"] == "string_pattern_mismatch":
            message = "a number and a unit, e.g. 500M or 2G"
        if problem["type"] != "value_error":
            message = f"expected {message}, found {problem['input']!r}"
        where = origin[name] if origin[name].startswith("--") else f"{origin[name]}{name}: "
        raise UsageError(f"{where}{message}") from None


def make_executor(
    options: ExecutorOptions, directory: Path, runs: int, threads: int | None
) -> Executor:
    """The executor that options describe.

    Args:
        directory: of the sweep's runs.
        runs: how many the sweep has, done ones included.
        threads: of a run, where they were given; on a cluster they are its CPUs.

    Raises:
        UsageError: its extra is not installed, or threads and CPUs differ.
    """
    if isinstance(options, LocalOptions):
        return LocalExecutor(*options.share(runs, threads))
    if threads not in (None, options.cpus):
        raise UsageError(
            f"run.threads is {threads} and --cpus {options.cpus}: with --executor "
            f"{options.kind} a run has as many threads as CPUs; give --cpus alone"
        )
    if isinstance(options, SlurmOptions):
        _need("submitit", "slurm")
        from grok_cli.executors.slurm.executor import SlurmExecutor

        return SlurmExecutor(options, directory)
    _need("ray", "ray")
    from grok_cli.executors.ray.executor import RayExecutor

    return RayExecutor(options)


def _need(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"--executor {extra} needs the extra [{extra}]: pip install 'grok-cli[{extra}]' "
            f"(with pipx: pipx inject grok-cli {module})"
        )


def _nearest(name: Any, known: Any) -> str:
    nearest = difflib.get_close_matches(str(name), known, n=1)
    names = ", ".join(name for name in known if name != "kind")
    return f"did you mean {nearest[0]}?" if nearest else f"expected one of {names}"

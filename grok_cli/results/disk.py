"""Runs in directories on this disk, each file read once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from grok_cli.core.phases import PHASE_STEPS
from grok_cli.diagnostics.columns import present_column
from grok_cli.errors import GrokError, UsageError, cause
from grok_cli.results.run import Run, Source, is_number
from grok_cli.results.series import Memory
from grok_cli.runs.directory import DONE, RunDir, find_runs
from grok_cli.runs.files import read_json
from grok_cli.runs.settings import flat_settings

# What a summary holds under these keys; any of it may be None.
STEPS = ("step", *PHASE_STEPS)
NUMBERS = ("seconds", "steps_per_second")
TEXTS = ("status", "phase", "message")


def find_on_disk(
    directories: Iterable[Path], problems: list[str], with_metrics: Callable[[Run], bool]
) -> list[Run]:
    """The runs at or below directories, each once; damaged ones go to `problems`.

    Args:
        with_metrics: whether the metrics of a run will be asked for; no others are read.

    Raises:
        UsageError: there is no such directory, or it holds no run.
    """
    found: dict[Path, Run] = {}
    memory = Memory()
    for root in directories:
        if not root.is_dir():
            raise UsageError(f"{root}: no such directory; expected runs of `grok train`")
        directories_of_runs = list(find_runs(root))
        if not directories_of_runs:
            raise UsageError(f"{root} holds no runs; make some with `grok sweep` or `grok train`")
        for place in directories_of_runs:
            try:
                run = _describe(place, root, problems)
                if with_metrics(run):
                    run = replace(run, source=_source(place, run.status in DONE, memory))
            except GrokError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{error.filename or place.path}: cannot be read: {cause(error)}")
            except RecursionError:
                problems.append(f"{place.path}: a file there is nested too deeply")
            else:
                found[place.path.resolve()] = run
    return _distinct(found)


def _describe(place: RunDir, root: Path, problems: list[str]) -> Run:
    """A run without its metrics; what its summary says of odd types goes to `problems`."""
    name = place.path.name if place.path == root else str(place.path.relative_to(root))
    settings = flat_settings(place.check_identity())
    summary = place.summary()
    if place.summary_file.exists() and read_json(place.summary_file) is None:
        problems.append(
            f"{place.summary_file} is damaged; what it said is left empty, and the run counts as "
            "interrupted"
        )
    if summary.get("phase") == "grokked":  # what old runs called it
        summary = {**summary, "phase": "generalised"}
    sound = sound_summary(summary)
    if odd := [key for key in summary if sound.get(key) != summary[key]]:
        problems.append(
            f"{place.summary_file} is damaged: {', '.join(odd)} of an unexpected type; left empty"
        )
    if final := sound.get("final"):
        sound["final"] = {present_column(metric): value for metric, value in final.items()}
    return Run(name, settings, sound, place.path)


def sound_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary with None instead of what is not of the type that its key promises."""
    sound = {
        key: value if _is_sound(key, value) else {} if key == "final" else None
        for key, value in summary.items()
    }
    final = sound.get("final", {})
    return sound | {"final": {k: v for k, v in final.items() if _is_number(v)}} if final else sound


def _is_sound(key: str, value: Any) -> bool:
    if value is None:
        return key != "final"
    if key in STEPS:
        return is_number(value) and isinstance(value, int)
    if key in NUMBERS:
        return _is_number(value)
    return isinstance(value, dict if key == "final" else str) if key in (*TEXTS, "final") else True


def _is_number(value: Any) -> bool:
    return value is None or is_number(value)


def _distinct(by_path: Mapping[Path, Run]) -> list[Run]:
    """Runs of one name are named by their paths."""
    count = Counter(run.name for run in by_path.values())
    return [
        replace(run, name=str(run.path)) if count[run.name] > 1 else run for run in by_path.values()
    ]


def _source(place: RunDir, done: bool, memory: Memory) -> Source:
    """The metrics of a run, read once and thereby checked.

    Args:
        done: whether the run was trained to its end, so that there must be some.

    Raises:
        GrokError: a file is damaged.
    """
    files = []
    for file in (place.metrics_file, place.measured_file):
        if file.exists():
            if file.stat().st_size > 0:
                files.append(file)
            elif done:
                raise GrokError(f"{file} is damaged: it is empty")
    return memory.read(files)

"""What a report says: verdict, groups, comparison, runs, environment. Not how it looks."""

import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from grok_cli.core.config import KEYS, Config, affects_result
from grok_cli.exports.source import STEP, RunData, local_runs
from grok_cli.exports.tables import make_groups
from grok_cli.figures.bands import Measured, read_runs
from grok_cli.figures.names import GroupNames, name_groups, placement_order
from grok_cli.figures.phases import generalised
from grok_cli.report.published import PublishedGroup, published
from grok_cli.report.replay import ACCURACY, LOSSES, Seeds
from grok_cli.report.verdict import Comparison, compare, overall
from grok_cli.runs.groups import SEEDS, group_keys, shown, varying_keys
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import Spec

FACTS = ("grok_cli", "python", "torch", "system", "cpu", "cores", "threads", "gpu", "device")


@dataclass(frozen=True)
class Spread:
    """Mean and range over the seeds of which a value is known."""

    values: tuple[float, ...]
    digits: str = ",.0f"

    @property
    def mean(self) -> str:
        return format(float(np.mean(self.values)), self.digits) if self.values else "–"

    @property
    def range(self) -> str:
        """From the lowest to the highest; empty where they are one."""
        if not self.values or min(self.values) == max(self.values):
            return ""
        return f"{min(self.values):{self.digits}}..{max(self.values):{self.digits}}"

    def __str__(self) -> str:
        return f"{self.mean} ({self.range})" if self.range else self.mean


@dataclass(frozen=True)
class GroupRow:
    """A line of the table of groups; spreads are over the finished runs.

    Attributes:
        runs, finished, memorised, generalised: how many.
    """

    label: str
    name: str
    runs: int
    finished: int
    memorised: int
    generalised: int
    memorised_at: Spread
    generalised_at: Spread
    delay: Spread
    test_accuracy: Spread
    train_loss: Spread
    test_loss: Spread


@dataclass(frozen=True)
class RunRow:
    """A run: its settings that differ between the runs, its status, and how to repeat it."""

    name: str
    settings: tuple[str, ...]
    seed: str
    status: str
    message: str
    summary: dict[str, Any]
    command: str


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        runs: all runs of the directory.
        spec: the sweep that they are of; None if not known.
        spec_name: what `grok sweep` takes to run it.
        missing: names of runs of the sweep that are not there.
    """

    directory: Path
    runs: list[RunData]
    spec: Spec | None
    spec_name: str
    missing: list[str]

    @property
    def title(self) -> str:
        return self.directory.resolve().name

    @property
    def question(self) -> str:
        return self.spec.question if self.spec else ""

    @cached_property
    def finished(self) -> list[RunData]:
        return [run for run in self.runs if run.status == "finished" and run.files]

    @cached_property
    def keys(self) -> list[str]:
        return group_keys([run.settings for run in self.runs])

    @cached_property
    def labels(self) -> list[str]:
        labels = [group.label for group in make_groups(self.runs, self.keys)]
        return sorted(labels, key=placement_order)

    @cached_property
    def names(self) -> GroupNames:
        return name_groups(self.labels)

    @cached_property
    def measured(self) -> Measured:
        """The metrics of the finished runs."""
        return read_runs(self.finished, self.keys) if self.finished else Measured([], lambda _: [])

    @cached_property
    def groups(self) -> list[GroupRow]:
        by_label = {group.label: group.runs for group in make_groups(self.runs, self.keys)}
        return [
            _group_row(label, self.names.names[label], by_label[label]) for label in self.labels
        ]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Groups of ours that repeat published ones, beside these."""
        known = published()
        fitting: dict[str, dict[Any, RunData]] = {}
        for run in sorted(self.finished, key=_length):
            group = known.group_of(run.settings)
            if group is not None:
                fitting.setdefault(group.name, {})[run.seed] = run  # of equal ones the longest
        return [
            _compare(group, list(fitting[group.name].values()), len(fitting))
            for group in known.groups.values()
            if group.name in fitting
        ]

    @property
    def replays(self) -> list[Comparison]:
        """Those whose curves are compared."""
        return [comparison for comparison in self.comparisons if comparison.agreements]

    @property
    def tested(self) -> list[Comparison]:
        """Those that are told by the test on distributions."""
        return [comparison for comparison in self.comparisons if comparison.test is not None]

    @property
    def compressed(self) -> list[tuple[Comparison, str, int | None, int]]:
        """Compression epochs: of which group, by which metric, ours, published."""
        return [
            (comparison, metric, ours, theirs)
            for comparison in self.comparisons
            for metric, (ours, theirs) in comparison.compressed.items()
        ]

    @property
    def source(self) -> str:
        """Of the published numbers."""
        return published().source

    @property
    def verdict(self) -> str:
        """What came out, in a sentence."""
        if not self.finished:
            return "Nothing to say yet: no run is finished."
        if self.comparisons:
            return overall(self.comparisons)
        reached = [g for g in generalised(self.measured) if g.middle is not None]
        count = f"{len(reached)} of {len(self.labels)} groups generalised"
        if not reached:
            return f"No group generalised within {self._longest:,} steps."
        first, last = (f(reached, key=lambda g: g.middle or 0) for f in (min, max))
        text = f"{count}; first {self.names.names[first.label]}, at step {first.middle:,.0f}"
        if len(reached) > 1:
            text += f"; last {self.names.names[last.label]}, at step {last.middle:,.0f}"
        return f"{text} (means over the seeds that did). No published number to compare with."

    @property
    def state(self) -> str:
        """How complete the runs are; empty if they are."""
        parts = []
        if len(self.finished) < len(self.runs):
            parts.append(
                f"{len(self.runs) - len(self.finished)} of {len(self.runs)} runs are not "
                "finished and count only in the table of runs"
            )
        if self.missing:
            parts.append(f"{len(self.missing)} runs of the study have not been started")
        return "; ".join(parts)

    @property
    def _longest(self) -> int:
        return max(map(_length, self.runs))

    @cached_property
    def settings_columns(self) -> list[str]:
        """Settings that differ between the runs, seeds left out."""
        keys = varying_keys([run.settings for run in self.runs])
        return [key for key in keys if key not in SEEDS]

    @cached_property
    def run_rows(self) -> list[RunRow]:
        return [
            RunRow(
                run.name,
                tuple(shown(run.settings.get(key)) for key in self.settings_columns),
                shown(run.seed),
                run.status,
                str(run.summary.get("message") or ""),
                run.summary | {"final": run.summary.get("final", {})},
                train_command(run.settings),
            )
            for run in self._ordered
        ]

    @property
    def _ordered(self) -> list[RunData]:
        """The runs by group, then by seed."""
        groups = {group.label: group.runs for group in make_groups(self.runs, self.keys)}
        return [run for label in self.labels for run in groups[label]]

    @property
    def command(self) -> str:
        """What repeats all runs, as far as one command does."""
        return shlex.join(["grok", "sweep", self.spec_name]) if self.spec_name else ""

    @cached_property
    def environment(self) -> dict[str, str]:
        """Facts about hardware and versions, each with all values that occur."""
        sessions = [s for run in self.runs for s in _sessions(self.directory, run)]
        facts = {
            name: ", ".join(dict.fromkeys(str(s[name]) for s in sessions if s.get(name)))
            for name in FACTS
        }
        return {name: text for name, text in facts.items() if text}

    @property
    def training_time(self) -> str:
        """Of all runs together, one after another."""
        seconds = sum(float(run.summary.get("seconds", 0)) for run in self.runs)
        return str(timedelta(seconds=round(seconds)))

    @property
    def started(self) -> str:
        """When the first run was started."""
        sessions = [s for run in self.runs for s in _sessions(self.directory, run)]
        return min((str(s["started"]) for s in sessions if "started" in s), default="")


def make_report(directory: Path, spec: Spec | None = None, spec_name: str = "") -> Report:
    """Gather what there is to report about the runs in a directory.

    Args:
        spec: the sweep that they are of.
        spec_name: its name or file.

    Raises:
        UsageError: there is no run.
    """
    runs = local_runs(directory)
    missing: list[str] = []
    if spec is not None:
        there = {Path(run.name).name for run in runs}
        missing = [p.name for p in plan_runs(spec, {}, None, directory) if p.name not in there]
    return Report(directory, runs, spec, spec_name, missing)


def train_command(settings: dict[str, Any]) -> str:
    """The command that trains a run with these settings, on any machine."""
    default = flat_settings(Config())
    command = ["grok", "train"]
    for key in KEYS:
        value = settings.get(key)
        if affects_result(key) and value != default[key] and not key.startswith("wandb."):
            text = value if isinstance(value, str) else json.dumps(value)
            command += ["--set", f"{key}={text}"]
    return shlex.join(command)


def _group_row(label: str, name: str, runs: Sequence[RunData]) -> GroupRow:
    done = [run.summary for run in runs if run.status == "finished"]

    def steps(key: str) -> Spread:
        return Spread(_present(summary.get(key) for summary in done))

    def final(metric: str, digits: str) -> Spread:
        return Spread(_present(s.get("final", {}).get(metric) for s in done), digits)

    return GroupRow(
        label=label,
        name=name,
        runs=len(runs),
        finished=len(done),
        memorised=len(steps("memorised_at").values),
        generalised=len(steps("generalised_at").values),
        memorised_at=steps("memorised_at"),
        generalised_at=steps("generalised_at"),
        delay=steps("delay"),
        test_accuracy=final("test/accuracy", ".4f"),
        train_loss=final("train/loss", ".2g"),
        test_loss=final("test/loss", ".2g"),
    )


def _present(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values if v is not None and math.isfinite(v))


def _compare(group: PublishedGroup, runs: list[RunData], groups: int) -> Comparison:
    known = published()
    exact = known.exact_start(run.settings for run in runs)
    if exact:
        runs = [run for run in runs if run.seed in known.seeds]
    metrics = dict.fromkeys([ACCURACY, *LOSSES, *group.compressed])
    measured = {metric: _seeds(runs, metric) for metric in metrics}
    ours = {metric: seeds for metric, seeds in measured.items() if len(seeds.steps)}
    return compare(group, ours, exact, known, groups)


def _seeds(runs: Sequence[RunData], metric: str) -> Seeds:
    """A metric of runs, run by run; without steps if one of them never measured it."""
    series = [run.series(metric).rename({metric: str(i)}) for i, run in enumerate(runs)]
    table = pl.concat(series, how="align_full")
    values = table.drop(STEP).to_numpy().T
    if np.isnan(values).all(axis=1).any():
        return Seeds(np.array([]), np.empty((len(runs), 0)))
    return Seeds(table[STEP].to_numpy().astype(np.float64), values)


def _length(run: RunData) -> int:
    """The step up to which a run was trained; 0 if its summary does not say."""
    return int(run.summary.get("step") or 0)


def _sessions(directory: Path, run: RunData) -> list[dict[str, Any]]:
    """The entries of a run's environment.json; none if there is no such file, or it is damaged."""
    place = directory if (directory / "config.yaml").is_file() else directory / run.name
    try:
        sessions = json.loads((place / "environment.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    entries = sessions if isinstance(sessions, list) else []
    return [session for session in entries if isinstance(session, dict)]

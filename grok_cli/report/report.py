"""What a report says: verdict, groups, comparison, runs, environment. Not how it looks."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from grok_cli.core.phases import GENERALISED
from grok_cli.errors import UsageError
from grok_cli.figures.chart import Legend, Reference
from grok_cli.figures.names import legend_of
from grok_cli.report.command import train_command
from grok_cli.report.published import PublishedGroup, published
from grok_cli.report.replay import ACCURACY, LOSSES, Seeds
from grok_cli.report.verdict import ALONE, Comparison, compare, halves, overall
from grok_cli.results import Group, Results, Run
from grok_cli.results.branches import AT
from grok_cli.results.group import SEEDS, shown, varying_keys
from grok_cli.results.phases import PhaseStats, phase_stats
from grok_cli.results.run import number
from grok_cli.results.survival import Median
from grok_cli.results.times import median_told, times_to
from grok_cli.runs.directory import RunDir
from grok_cli.runs.sweep_record import read_records
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import Spec

GENERALISED_AT = "generalised_at"
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
    """A line of the table of groups; all but `runs` and `median` is over the finished runs.

    Attributes:
        runs, finished: how many.
        median: of the step of generalisation, over all runs that have begun; None if none has.
    """

    name: str
    runs: int
    finished: int
    memorised: PhaseStats
    generalised: PhaseStats
    median: Median | None
    delay: PhaseStats
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
    summary: Mapping[str, Any]
    command: str


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        results: all runs of the directory, in the order of their groups.
        spec: the sweep that they are of; None if not known.
        commands: what repeats all runs, as far as sweeps do.
        missing: names of runs of the sweep that are not there.
        changed: how many runs the sweep has if none of them is there: its settings were changed.
    """

    directory: Path
    results: Results
    spec: Spec | None
    commands: tuple[str, ...]
    missing: list[str]
    changed: int

    @property
    def title(self) -> str:
        return self.directory.resolve().name

    @property
    def question(self) -> str:
        return self.spec.question if self.spec else ""

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.results.runs

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, a message each."""
        return self.results.problems

    @cached_property
    def finished(self) -> Results:
        """The finished runs with metrics, grouped as all are."""
        runs = [run for run in self.runs if run.status == "finished" and run.metrics()]
        return Results.of(runs, self.results.keys).in_order

    @cached_property
    def legend(self) -> Legend:
        """Names and looks of the groups, in their order."""
        return legend_of(self.results.groups)

    @cached_property
    def names(self) -> dict[str, str]:
        """What each group is called, by its full name."""
        return {
            group.name: key.name
            for group, key in zip(self.results.groups, self.legend.keys, strict=True)
        }

    @cached_property
    def groups(self) -> list[GroupRow]:
        return [_group_row(self.names[group.name], group) for group in self.results.groups]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Groups of ours that repeat published ones, beside these."""
        known = published()
        fitting: dict[str, dict[Any, Run]] = {}
        for run in sorted(self.finished.runs, key=_length):
            group = known.group_of(run.settings)
            if group is not None:
                fitting.setdefault(group.name, {})[run.seed] = run  # of equal ones the longest
        return [
            _compare(group, list(fitting[group.name].values()), len(fitting))
            for group in known.groups.values()
            if group.name in fitting
        ]

    @cached_property
    def references(self) -> list[Reference]:
        """The published curves of our groups, and the range of steps at which they generalised."""
        found: list[Reference] = []
        for group in self.finished.groups:
            theirs = {published().group_of(run.settings) for run in group.runs}
            if len(theirs) == 1 and (known := theirs.pop()):
                found += _references(group.settings, known)
        return found

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
        """What came out, in a sentence: of branches, whose runs were not published, the medians."""
        if not self.finished.runs:
            return "Nothing to say yet: no run is finished."
        if self.comparisons and not any(run.settings.get(AT) is not None for run in self.runs):
            return overall(self.comparisons)
        try:
            times = times_to(self.results, "generalised", GENERALISED)
        except UsageError:
            return "Nothing to say: test accuracy was not measured."
        medians = {self.names[found.group.name]: found.median for found in times.groups}
        return halves(medians) + ("" if self.comparisons else f" {ALONE}")

    @property
    def state(self) -> str:
        """How complete the runs are; empty if they are."""
        parts = []
        finished = sum(run.status == "finished" for run in self.runs)
        if finished < len(self.runs):
            parts.append(
                f"{len(self.runs) - finished} of {len(self.runs)} runs are not "
                "finished and count only in medians and in the table of runs"
            )
        if self.changed:
            parts.append(f"none is one of the study's own {self.changed}: settings were changed")
        if self.missing:
            parts.append(f"{len(self.missing)} runs of the study have not been started")
        text = "; ".join(parts)
        return text[:1].upper() + text[1:]

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
                {**run.summary, "final": _final(run)},
                train_command(run.settings),
            )
            for run in self.runs
        ]

    @cached_property
    def environment(self) -> dict[str, str]:
        """Facts about hardware and versions, each with all values that occur."""
        facts = {
            name: ", ".join(dict.fromkeys(str(s[name]) for s in self._sessions if s.get(name)))
            for name in FACTS
        }
        return {name: text for name, text in facts.items() if text}

    @property
    def training_time(self) -> str:
        """Of all runs together, one after another."""
        seconds = sum(number(run.summary.get("seconds")) or 0 for run in self.runs)
        return str(timedelta(seconds=round(seconds)))

    @property
    def started(self) -> str:
        """When the first run was started."""
        return min((str(s["started"]) for s in self._sessions if "started" in s), default="")

    @cached_property
    def _sessions(self) -> list[dict[str, Any]]:
        return [session for run in self.runs for session in _sessions(run)]


def make_report(directory: Path, spec: Spec | None = None, *, where: Sequence[str] = ()) -> Report:
    """Gather what there is to report about the runs in a directory.

    Args:
        spec: the sweep that they are of.
        where: filters such as "model.ln_type=pre"; see `parse_where`.

    Raises:
        UsageError: there is no run.
    """
    found = Results.from_disk(directory, include="all", where=where)
    runs = [*found.runs, *found.left_out]
    results = Results.of(runs, problems=found.problems).in_order
    missing: list[str] = []
    changed = 0
    if spec is not None and not where:
        there = {Path(run.name).name for run in runs}
        planned = [one.name for one in plan_runs(spec, {}, None, directory)]
        missing = [name for name in planned if name not in there]
        if missing == planned:
            missing, changed = [], len(planned)
    recorded = [entry["command"] for entry in read_records(directory)]
    if not recorded and spec is not None and spec.name:
        recorded = [shlex.join(["grok", "sweep", spec.name])]
    return Report(directory, results, spec, tuple(recorded), missing, changed)


def _group_row(name: str, group: Group) -> GroupRow:
    done = [run for run in group.runs if run.status == "finished"]

    def final(metric: str, digits: str) -> Spread:
        values = (number(_final(run).get(metric)) for run in done)
        return Spread(tuple(value for value in values if value is not None), digits)

    return GroupRow(
        name=name,
        runs=len(group.runs),
        finished=len(done),
        memorised=phase_stats(done, "memorised_at"),
        generalised=phase_stats(done, "generalised_at"),
        median=median_told(group.runs, "generalised_at"),
        delay=phase_stats(done, "delay"),
        test_accuracy=final("test/accuracy", ".4f"),
        train_loss=final("train/loss", ".2g"),
        test_loss=final("test/loss", ".2g"),
    )


def _final(run: Run) -> Mapping[str, Any]:
    """The last metrics as the summary holds them; none if it is damaged."""
    final = run.summary.get("final")
    return final if isinstance(final, Mapping) else {}


def _references(settings: Mapping[str, Any], group: PublishedGroup) -> Iterator[Reference]:
    """What was published of a group, for a group of ours with these settings."""
    for metric, curves in group.curves.items():
        yield Reference(settings, metric, curves.steps, curves.mean, curves.lowest, curves.highest)
    steps = [np.array([step]) for step in group.accuracy.values() if math.isfinite(step)]
    if len(steps) == 3:
        first, mean, last = steps
        yield Reference(settings, GENERALISED_AT, first, mean, first, last)


def _compare(group: PublishedGroup, runs: list[Run], groups: int) -> Comparison:
    known = published()
    exact = known.exact_start(run.settings for run in runs)
    if exact:
        runs = [run for run in runs if run.seed in known.seeds]
    metrics = dict.fromkeys([ACCURACY, *LOSSES, *group.compressed])
    measured = {metric: _seeds(runs, metric) for metric in metrics}
    ours = {metric: seeds for metric, seeds in measured.items() if len(seeds.steps)}
    return compare(group, ours, exact, known, groups)


def _seeds(runs: Sequence[Run], metric: str) -> Seeds:
    """A metric of runs, run by run; without steps if one of them never measured it."""
    steps, values = Group({}, tuple(runs)).values(metric)
    if np.isnan(values).all(axis=1).any():
        return Seeds(np.array([]), np.empty((len(runs), 0)))
    return Seeds(steps.astype(np.float64), values)


def _length(run: Run) -> int:
    """The step up to which a run was trained; 0 if its summary does not say."""
    return int(number(run.summary.get("step")) or 0)


def _sessions(run: Run) -> list[dict[str, Any]]:
    """The entries of a run's environment.json; none if there is none that can be read."""
    try:
        return RunDir(run.path).sessions() if run.path else []
    except OSError:
        return []

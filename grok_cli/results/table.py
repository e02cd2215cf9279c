"""The results of many runs: groups that carry their settings, and one tidy table of the metrics."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from grok_cli.core.config import KEYS
from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import UsageError
from grok_cli.results.csv import read_groups
from grok_cli.results.disk import find_on_disk
from grok_cli.results.group import PLACEMENT, Group, group_keys, make_groups
from grok_cli.results.run import STEP, Run
from grok_cli.results.wandb import PREFIX, wandb_runs
from grok_cli.results.where import Test, full_key, parse_where

if TYPE_CHECKING:
    import polars as pl

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
Include = Literal["finished", "all"]


@dataclass(frozen=True, eq=False)
class Results:
    """Runs in groups.

    Attributes:
        groups: sorted by their settings.
        keys: the settings that name a group.
        group_by: those that were asked for; None: what varies, seeds left out.
        left_out: runs that are not finished and were not asked for.
        problems: what could not be read, a message each that names the file.
    """

    groups: tuple[Group, ...]
    keys: tuple[str, ...] = ()
    group_by: tuple[str, ...] | None = None
    left_out: tuple[Run, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        runs: Iterable[Run],
        group_by: Sequence[str] | None = None,
        left_out: Iterable[Run] = (),
        problems: Iterable[str] = (),
    ) -> "Results":
        """Runs, grouped by the settings named, else by all that vary but the seeds."""
        runs = list(runs)
        keys = tuple(group_by or group_keys([run.settings for run in runs]))
        asked = tuple(group_by) if group_by else None
        return cls(make_groups(runs, keys), keys, asked, tuple(left_out), tuple(problems))

    @classmethod
    def from_disk(
        cls,
        directories: Paths,
        group_by: Sequence[str] | None = None,
        *,
        include: Include = "finished",
        where: Sequence[str] = (),
        metrics: bool = True,
    ) -> "Results":
        """The runs at or below directories.

        Args:
            group_by: settings that name a group; None: all that vary, seeds left out.
            include: "finished", or "all": also runs that diverged or are not finished.
            where: filters such as "model.ln_type=pre"; see `parse_where`.
            metrics: whether metrics will be asked for. They are read once, and checked.

        Returns:
            What could be read; `problems` names the rest. There may be no run at all.

        Raises:
            UsageError: no such directory, or one without runs; a filter that means nothing.
        """
        chosen = parse_where(where)
        problems: list[str] = []
        found = find_on_disk(
            _paths(directories),
            problems,
            lambda run: (
                metrics
                and (include == "all" or run.status == "finished")
                and chosen(run.settings, run.summary)
            ),
        )
        return cls._included(found, group_by, include, where, problems)

    @classmethod
    def from_csv(cls, files: Paths) -> "Results":
        """The groups in files of `grok export-csv` (also with --long or --summary), or from W&B.

        Raises:
            UsageError: no such file, or not of that form.
        """
        groups = read_groups(_paths(files))
        return cls(tuple(groups), tuple(dict.fromkeys(k for g in groups for k in g.settings)))

    @classmethod
    def from_wandb(
        cls,
        project: str,
        group_by: Sequence[str] | None = None,
        *,
        include: Include = "finished",
        where: Sequence[str] = (),
        downloaded: Callable[[Run], object] = lambda run: None,
    ) -> "Results":
        """The runs of a W&B project, "ENTITY/PROJECT".

        Args:
            group_by, include, where: as in `from_disk`.
            downloaded: is told of each run.

        Raises:
            GrokError: not logged in, no such project, no connection.
            UsageError: the project holds no runs.
        """
        found = []
        for run in wandb_runs(project.removeprefix(PREFIX)):
            downloaded(run)
            found.append(run)
        if not found:
            raise UsageError(f"{PREFIX}{project.removeprefix(PREFIX)} holds no runs")
        return cls._included(found, group_by, include, where, [])

    @classmethod
    def _included(
        cls,
        found: Sequence[Run],
        group_by: Sequence[str] | None,
        include: Include,
        where: Sequence[str],
        problems: Sequence[str],
    ) -> "Results":
        known = list(dict.fromkeys(key for run in found for key in run.settings)) or KEYS
        chosen = parse_where(where, known)
        asked = [run for run in found if chosen(run.settings, run.summary)]
        kept = [run for run in asked if include == "all" or run.status == "finished"]
        left_out = [run for run in asked if run not in kept]
        keys = [full_key(key, known, "--group-by") for key in group_by or ()]
        return cls.of(kept, keys, left_out, problems)

    def where(self, expressions: Sequence[str]) -> "Results":
        """The runs that filters such as "model.ln_type=pre" choose, grouped anew.

        Raises:
            UsageError: a filter that means nothing; see `parse_where`.
        """
        known = dict.fromkeys(
            key
            for group in self.groups
            for settings in (group.settings, *(run.settings for run in group.runs))
            for key in settings
        )
        chosen = parse_where(expressions, list(known))
        if any(group.text for group in self.groups):  # a file's groups stay what it calls them
            kept = [replace(g, runs=_chosen(g.runs, chosen)) for g in self.groups]
            some = [g for g in kept if g.runs or (g.means and chosen(g.settings, {}))]
            return replace(self, groups=tuple(some))
        return Results.of(_chosen(self.runs, chosen), self.group_by, self.left_out, self.problems)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs, group by group."""
        return tuple(run for group in self.groups for run in group.runs)

    @cached_property
    def metrics(self) -> list[str]:
        """The names of what was measured, in the order of the runs' files."""
        return list(dict.fromkeys(name for group in self.groups for name in group.metrics()))

    @cached_property
    def in_order(self) -> "Results":
        """The same, groups as the table of placements has them; those of no placement come last."""
        order = list(PLACEMENTS)

        def place(group: Group) -> int:
            name = group.settings.get(PLACEMENT)
            return order.index(name) if name in order else len(order)

        return replace(self, groups=tuple(sorted(self.groups, key=place)))

    @cached_property
    def measured(self) -> "Results":
        """The same without runs, and groups, of which nothing was measured."""
        groups = [
            replace(group, runs=tuple(run for run in group.runs if run.metrics()))
            for group in self.groups
        ]
        kept = tuple(group for group in groups if group.runs or group.means)
        return Results(kept, self.keys, self.group_by, self.left_out, self.problems)

    def frame(self, metrics: Sequence[str] | None = None) -> "pl.DataFrame":
        """A tidy table with a row a value.

        Args:
            metrics: those wanted; None: all.

        Returns:
            Columns "group" (Int64, its place in `groups`), "run" (String), "seed" (Int64, empty
            where that is no integer), "step" (Int64), "metric" (String), "value" (Float64). No
            empty values.
        """
        import polars as pl

        schema = {"group": pl.Int64, "run": pl.String, "seed": pl.Int64}
        schema |= {STEP: pl.Int64, "metric": pl.String, "value": pl.Float64}
        parts = [
            run.series(metric).select(
                pl.lit(number, pl.Int64).alias("group"),
                pl.lit(run.name).alias("run"),
                pl.lit(run.seed if isinstance(run.seed, int) else None, pl.Int64).alias("seed"),
                STEP,
                pl.lit(metric).alias("metric"),
                pl.col(metric).alias("value"),
            )
            for number, group in enumerate(self.groups)
            for run in group.runs
            for metric in (self.metrics if metrics is None else metrics)
        ]
        return pl.concat([pl.DataFrame(schema=schema), *parts])


def _chosen(runs: Iterable[Run], chosen: Test) -> tuple[Run, ...]:
    return tuple(run for run in runs if chosen(run.settings, run.summary))


def _paths(paths: Paths) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, PathLike)) else list(map(Path, paths))

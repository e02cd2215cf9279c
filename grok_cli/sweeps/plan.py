"""From a sweep to its runs: which configurations, in which directories, and how far each is."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config, affects_result
from grok_cli.errors import UsageError
from grok_cli.results.run import SEED
from grok_cli.runs.branching import branch_config, changes_nothing, create_branch
from grok_cli.runs.directory import DONE, RunDir, changed_settings, find_runs
from grok_cli.runs.relatives import find_run
from grok_cli.runs.settings import build_config, flat_settings
from grok_cli.sweeps.reuse import TrainedRuns, link_run
from grok_cli.sweeps.seeds import PAPER_SEEDS
from grok_cli.sweeps.spec import Origin, Spec

MOST_RUNS = 10_000  # of a sweep


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep.

    Attributes:
        run: its place in the sweep's directory, named by the settings; it need not exist yet.
        config: its configuration.
        given: the keys that the sweep sets (as against defaults).
        taken_from: the run of another directory that it is, once linked; None if it is the
            sweep's own.
        relatives: of a branch: its parent and, behind it, the run that gives weights, if any.
    """

    run: RunDir
    config: Config
    given: tuple[str, ...]
    taken_from: RunDir | None = None
    relatives: tuple[RunDir, ...] = ()

    @property
    def name(self) -> str:
        return self.run.path.name

    def summary(self) -> dict[str, Any]:
        """The run's summary; status "new" if there is none."""
        run = self.taken_from or self.run
        return run.summary() if run.exists() else {"status": "new"}

    def create(self) -> None:
        """Make the directory or the link, unless it is there.

        Raises:
            UsageError: it cannot be made.
        """
        if self.run.exists():
            return
        if self.taken_from is not None:
            link_run(self.run.path, self.taken_from.path)
            return
        if self.relatives:
            create_branch(self.run.path, self.config, *self.relatives)
            return
        self.run.write_config(self.config)

    def check(self) -> None:
        """Raise UsageError if the directory is there but its config.yaml is of another run."""
        if not self.run.exists():
            if self.taken_from is None and self.run.path.is_symlink():
                self.run.config()  # says where the link led
            return
        stored = self.run.config()
        if stored.digest() == self.config.digest():
            return
        changed = "; ".join(changed_settings(self.config, stored))
        raise UsageError(
            f"{self.run.config_file} was edited: {changed}; the directory is named by its "
            "settings. Undo that, or move the directory away"
        )

    def changes(self) -> list[str]:
        """Options for `grok train --resume` that bring what the sweep sets of hardware, storage
        and W&B to a directory that was made with other values."""
        stored, wanted = flat_settings(self.run.config()), flat_settings(self.config)
        begun = self.run.recorded_summary()["status"] != "new"
        changed = [
            key
            for key in self.given
            if not affects_result(key)
            and wanted[key] != stored[key]
            and not (begun and key == "measure.diagnostics")  # its columns stay as they are
        ]
        return [text for key in changed for text in ("--set", f"{key}={json.dumps(wanted[key])}")]


def plan_runs(
    spec: Spec, fixed: Mapping[str, Any], seeds: list[int] | None, runs_dir: Path
) -> list[PlannedRun]:
    """The runs of a sweep, in order, equal ones once.

    Args:
        fixed: settings that win over the sweep's own, grid and points included.
        seeds: of every run; None: what its settings say, else what the sweep says, else the
            paper's five.

    Raises:
        SettingsError: a run's settings are not valid.
    """
    if spec.origin is not None:
        return plan_branches(spec, spec.origin, fixed, seeds, runs_dir)
    _refuse_many(_points_count(spec) * len(seeds or spec.seeds or PAPER_SEEDS))
    planned: dict[Path, PlannedRun] = {}
    for point in _points(spec):
        settings = {**spec.base, **point, **fixed}
        settings.pop("run.threads", None)  # a matter of the machine, not of the directory
        own = [settings[SEED]] if SEED in settings else spec.seeds
        for seed in seeds or own or PAPER_SEEDS:
            values = settings | {SEED: seed}
            config = build_config(values, "sweep")
            run = RunDir(runs_dir / config.run_name())
            planned.setdefault(run.path, PlannedRun(run, config, tuple(values)))
    return list(planned.values())


def plan_branches(
    spec: Spec,
    origin: Origin,
    fixed: Mapping[str, Any],
    seeds: list[int] | None,
    runs_dir: Path,
) -> list[PlannedRun]:
    """The parents that the sweep trains, and behind them the branches: each parent at each step
    for each point. A branch that changes nothing is left out: that is its parent.

    `branch.donor` may be "next": the parent of the same settings with the next seed.

    Raises:
        SettingsError: settings that are not valid.
        UsageError: no such parents, or a change that their weights do not allow.
    """
    if origin.parents is not None:
        steps = [at for at in origin.at if type(at) is int and at > 0]
        base = {**spec.base, "run.state_at": steps, **origin.parents.base}
        described = replace(origin.parents, base=base, seeds=spec.seeds)
        trained = plan_runs(described, fixed, seeds, runs_dir)
        parents = [(planned.config, planned.run) for planned in trained]
    else:
        if seeds is not None:
            raise UsageError("--seeds: the seeds of branches are those of the runs they leave")
        trained, parents = [], _runs_to_leave(origin, runs_dir)
    _refuse_many(len(trained) + len(parents) * len(origin.at) * _points_count(spec))
    planned = {one.run.path: one for one in trained}
    for (theirs, parent), at, point in itertools.product(parents, origin.at, _points(spec)):
        changes = {**spec.base, **point, **fixed}
        changes.pop("run.threads", None)
        donor = _donor(changes, theirs, parent, parents)
        config = branch_config(theirs, at, changes, "sweep")
        run = RunDir(runs_dir / config.run_name())
        if changes_nothing(config, theirs) or run.path in planned:
            continue
        relatives = (parent,) if donor is None else (parent, donor)
        planned[run.path] = PlannedRun(run, config, tuple(changes), relatives=relatives)
    return list(planned.values())


def _donor(
    changes: dict[str, Any],
    theirs: Config,
    parent: RunDir,
    parents: Sequence[tuple[Config, RunDir]],
) -> RunDir | None:
    """The run that `branch.donor` of the changes means, whose digest is put there instead."""
    word = changes.get("branch.donor")
    if word is None:
        return None
    if word == "next":
        alike = [one for one in parents if _but_seed(one[0]) == _but_seed(theirs)]
        config, found = alike[(alike.index((theirs, parent)) + 1) % len(alike)]
    else:
        found = find_run(str(word), (parent.path.parent, Path("runs")))
        config = found.check_identity()
    changes["branch.donor"] = config.digest()
    return found


def _but_seed(config: Config) -> dict[str, Any]:
    return {key: v for key, v in flat_settings(config).items() if key != SEED}


def _runs_to_leave(origin: Origin, runs_dir: Path) -> list[tuple[Config, RunDir]]:
    """The runs that a sweep names as parents; of a directory, those that are no branches."""
    found: dict[Path, tuple[Config, RunDir]] = {}
    for text in origin.runs:
        if Path(text).is_dir() and not RunDir(text).exists():
            runs = [run for run in find_runs(Path(text)) if run.config().branch.parent is None]
            if not runs:
                raise UsageError(f"from: run: {text} holds no runs; expected runs to leave")
        else:
            runs = [find_run(text, dict.fromkeys((Path("runs"), runs_dir.parent)))]
        found |= {run.path.resolve(): (run.check_identity(), run) for run in runs}
    return list(found.values())


def _refuse_many(count: int) -> None:
    if count > MOST_RUNS:
        raise UsageError(
            f"these are up to {count:,} runs; expected at most {MOST_RUNS:,} in a sweep: a smaller "
            "grid, or fewer seeds"
        )


def take_over(planned: Sequence[PlannedRun], trained: TrainedRuns) -> list[PlannedRun]:
    """The same runs, each of which names the trained one that it is, where there is one.

    A run whose directory is there stays what it is, be it a link that was made before.

    Raises:
        UsageError: a directory is there whose config.yaml was edited, or a link whose run is gone.
    """
    taken = [_take_over(run, trained) for run in planned]
    for run in taken:
        run.check()
    return taken


def _take_over(planned: PlannedRun, trained: TrainedRuns) -> PlannedRun:
    path = planned.run.path
    if planned.run.exists():
        linked = RunDir(path.resolve()) if path.is_symlink() else None
        return replace(planned, taken_from=linked)
    found = trained.find(planned.config.digest())
    if found is None:
        return planned
    if found.path.parent == path.parent.resolve():  # named by an earlier version of this program
        return replace(planned, run=RunDir(path.parent / found.path.name))
    return replace(planned, taken_from=found)


def _points_count(spec: Spec) -> int:
    grid = math.prod(map(len, spec.grid.values())) if spec.grid or not spec.points else 0
    return grid + len(spec.points)


def _points(spec: Spec) -> Iterator[dict[str, Any]]:
    if spec.grid or not spec.points:
        for values in itertools.product(*spec.grid.values()):
            yield dict(zip(spec.grid, values, strict=True))
    yield from spec.points


def steps_left(planned: PlannedRun, summary: Mapping[str, Any]) -> int:
    """Steps that a run has still to go, at most."""
    if summary["status"] in DONE:
        return 0
    at = planned.config.branch.at  # 0 of a run that is no branch
    step = summary.get("step", at if isinstance(at, int) else 0)
    return max(0, planned.config.train.steps - (step if isinstance(step, int) else 0))

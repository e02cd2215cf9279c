"""From a sweep to its runs: which configurations, in which directories, and how far each is."""

import itertools
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config, affects_result
from grok_cli.errors import UsageError
from grok_cli.runs.directory import DONE, RunDir
from grok_cli.runs.files import write_text
from grok_cli.runs.settings import build_config, dump_config, flat_settings
from grok_cli.sweeps.seeds import PAPER_SEEDS
from grok_cli.sweeps.spec import Spec

SEED = "train.seed"


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep.

    Attributes:
        run: its directory, named by the settings; it need not exist yet.
        config: its configuration.
        given: the keys that the sweep sets (as against defaults).
    """

    run: RunDir
    config: Config
    given: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.run.path.name

    def summary(self) -> dict[str, Any]:
        """The run's summary; status "new" if there is none."""
        return self.run.summary() if self.run.exists() else {"status": "new"}

    def create(self) -> None:
        """Make the directory, unless it is there.

        Raises:
            UsageError: it cannot be made.
        """
        if self.run.exists():
            return
        try:
            self.run.path.mkdir(parents=True, exist_ok=True)
            write_text(self.run.config_file, dump_config(self.config))
        except OSError as error:
            raise UsageError(f"cannot make {self.run.path}: {error.strerror}") from None

    def changes(self) -> list[str]:
        """Options for `grok train --resume` that bring what the sweep sets of hardware, storage
        and W&B to a directory that was made with other values."""
        stored, wanted = flat_settings(self.run.config()), flat_settings(self.config)
        changed = [
            key for key in self.given if not affects_result(key) and wanted[key] != stored[key]
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


def _points(spec: Spec) -> Iterator[dict[str, Any]]:
    if spec.grid or not spec.points:
        for values in itertools.product(*spec.grid.values()):
            yield dict(zip(spec.grid, values, strict=True))
    yield from spec.points


def steps_left(planned: PlannedRun, summary: Mapping[str, Any]) -> int:
    """Steps that a run has still to go, at most."""
    if summary["status"] in DONE:
        return 0
    return planned.config.train.steps - int(summary.get("step", 0))


def measured_speed(summaries: Iterable[Mapping[str, Any]]) -> float | None:
    """Median steps per second of runs that finished; None if none did."""
    speeds = [
        float(summary["steps_per_second"])
        for summary in summaries
        if summary["status"] == "finished" and summary.get("steps_per_second")
    ]
    return statistics.median(speeds) if speeds else None

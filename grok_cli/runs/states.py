"""The state of a run at any step: the nearest one that was kept, and the steps from there replayed.

A snapshot holds weights only. A state holds the optimiser's moments, too, and so takes three times
the room. A run keeps its last two (resume.pt), and those that `run.state_every` and `run.state_at`
ask for, in states/. What lies between is computed again, and each row of it compared with the run's
own, so that a machine on which it comes out otherwise is found out.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grok_cli.core.config import Config
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.training import (
    NORM_COLUMNS,
    TEST_COLUMNS,
    TRAIN_COLUMNS,
    Recorder,
    Row,
    Trainer,
)
from grok_cli.diagnostics.columns import present_column
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import RunDir
from grok_cli.runs.environment import with_its_kernels
from grok_cli.runs.tensor_files import load_tensors

REPLAYED = (*TRAIN_COLUMNS, *NORM_COLUMNS, *TEST_COLUMNS)


@dataclass(frozen=True)
class Rows:
    """The first rows of a run's metrics.csv, as they stand there.

    Attributes:
        columns: the header; the first is "step".
        lines: of steps 1, 2, ..., without their ends.
    """

    columns: tuple[str, ...]
    lines: tuple[str, ...]

    def text(self) -> str:
        """The rows as metrics.csv has them."""
        return "".join(f"{line}\n" for line in (",".join(self.columns), *self.lines))

    def widened(self, diagnostics: Iterable[str], model: ModelConfig) -> "Rows":
        """The same with columns for further diagnostics, which are empty so far."""
        known = set(map(present_column, self.columns))
        wanted = [column for name in diagnostics for column in DIAGNOSTICS[name].columns(model)]
        new = [column for column in wanted if column not in known]
        return Rows((*self.columns, *new), tuple(line + "," * len(new) for line in self.lines))

    def newest(self) -> dict[str, float]:
        """The newest value of every metric, by its present name."""
        found: dict[str, float] = {}
        missing = dict(enumerate(map(present_column, self.columns)))
        for line in reversed(self.lines):
            cells = line.split(",")
            for place in [place for place in missing if cells[place]]:
                found[missing.pop(place)] = float(cells[place])
            if not missing:
                break
        return {name: found[name] for name in map(present_column, self.columns) if name in found}


def rows_until(run: RunDir, step: int) -> Rows:
    """The rows of a run up to a step.

    Raises:
        UsageError: the run has not come that far.
        GrokError: metrics.csv is damaged.
    """
    try:
        with run.metrics_file.open(encoding="utf-8") as file:
            columns = tuple(file.readline().rstrip("\n").split(","))
            lines = tuple(line for line, _ in zip(file, range(step), strict=False))
    except (FileNotFoundError, UnicodeDecodeError):
        columns, lines = (), ()
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < step:
        raise UsageError(
            f"{run.path} has no step {step}: its rows end with step {len(whole)}; expected a step "
            "that was trained"
        )
    if columns[:1] != ("step",) or any(
        line.count(",") != len(columns) - 1 or not line.startswith(f"{number},")
        for number, line in enumerate(whole, 1)
    ):
        raise GrokError(f"{run.metrics_file} is damaged: a row is not what its header says")
    return Rows(columns, tuple(line.rstrip("\n") for line in whole))


def keep_state(run: RunDir, step: int) -> None:
    """Keep resume.pt, which is of this step, as the state of the step: a second name of the same
    file, where there are such."""
    target = run.state_file(step)
    target.parent.mkdir(exist_ok=True)
    link_or_copy(run.resume_file, target)


def link_or_copy(source: Path, target: Path) -> None:
    """Have `target` hold what `source` does, at once; files of runs are replaced and never written
    into, so that both may be one file."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        try:
            os.link(source, draft)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def trainer_at(
    run: RunDir,
    config: Config,
    step: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Trainer, int] | None:
    """A trainer of the run with the run's state at a step, and the step from which it was replayed.

    Args:
        config: the run's; the device may be another.
        should_stop: asked after every step.

    Returns:
        None if it was told to stop before it was there.

    Raises:
        UsageError: the run has not come that far.
        GrokError: the steps come out otherwise than they did, or the state is gone from which a
            branch began.
    """
    rows = rows_until(run, step)
    trainer = Trainer(with_its_kernels(run, config))
    if not _load_nearest(run, trainer, step) and config.branch.parent is not None:
        raise GrokError(
            f"{run.path}: the state with which this branch began is gone from {run.states_dir}; "
            "expected it there: leave its parent instead"
        )
    start = trainer.step
    if start < step:
        outcome = trainer.run(
            _Replay(run, rows), should_stop=lambda: trainer.step >= step or should_stop()
        )
        if outcome.status == "diverged":
            raise UsageError(f"{run.path} diverged at step {trainer.step}; expected a step before")
        if trainer.step < step:
            return None
    return trainer, start


def _load_nearest(run: RunDir, trainer: Trainer, step: int) -> bool:
    """Bring the trainer to the nearest sound state at or before a step; whether there is one."""
    states = []
    for file in (run.resume_file, run.previous_file, *run.states_dir.glob("step_*.pt")):
        with contextlib.suppress(GrokError, ValueError, TypeError, KeyError):
            named = re.fullmatch(r"step_(\d+)\.pt", file.name)
            found = int(named[1]) if named else load_tensors(file)["step"]
            if found <= step:
                states.append((found, file))
    for found, file in sorted(states, reverse=True):
        with contextlib.suppress(GrokError, ValueError, TypeError, KeyError):
            state = load_tensors(file)
            if state["step"] == found:
                trainer.load(state)
                return True
    return False


class _Replay(Recorder):
    """Compares rows with those that the run recorded."""

    def __init__(self, run: RunDir, recorded: Rows) -> None:
        self.run, self.recorded = run, recorded

    def rows(self, rows: Sequence[Row]) -> None:
        names = list(map(present_column, self.recorded.columns))
        for row in rows:
            step = int(row["step"])
            cells = dict(zip(names, self.recorded.lines[step - 1].split(","), strict=True))
            for name in REPLAYED:
                found = repr(row[name]) if name in row else ""
                if cells.get(name, found) != found:
                    session = (self.run.sessions() or [{}])[-1]
                    made = ", ".join(
                        f"{key} {session[key]}"
                        for key in ("torch", "threads", "engine", "kernels", "device", "cpu")
                        if key in session
                    )
                    raise GrokError(
                        f"{self.run.path}: step {step} comes out otherwise here ({name} {found}, "
                        f"recorded {cells[name] or 'nothing'}), so that its state cannot be "
                        f"computed again; it was trained with {made or 'another version'}. "
                        "Branch where it was trained, or from a state that it kept"
                    )

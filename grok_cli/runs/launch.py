"""Train a run in its directory, from the start or from where it stands."""

import copy
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config
from grok_cli.core.model import Transformer
from grok_cli.core.process import prepare_process
from grok_cli.core.training import Outcome, Recorder, Recorders, Trainer, find_device
from grok_cli.diagnostics.schedule import schedule
from grok_cli.errors import GrokError, GrokWarning, UsageError, cause
from grok_cli.runs.branching import begin
from grok_cli.runs.bystander import bystander
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.claim import Claim
from grok_cli.runs.directory import DONE, RunDir, changed_settings
from grok_cli.runs.environment import (
    record_environment,
    warn_of_other_kernels,
    with_its_kernels,
)
from grok_cli.runs.recorder import STATE_KEYS, RunRecorder
from grok_cli.runs.relatives import find_relative
from grok_cli.runs.tensor_files import CheckpointError, load_tensors


def train_run(
    run: RunDir,
    config: Config,
    watcher: Recorder | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train a run until it is done or told to stop, and keep everything in its directory.

    A run with a resume state goes on from there, any other starts at step 0; a finished or
    diverged one is left as it is.

    Args:
        config: the run's configuration; settings that do not affect the result may differ from
            those of the directory.
        watcher: shows or forwards what happens.
        should_stop: asked after every step.

    Raises:
        ClaimedError: another process trains this run.
        UsageError: there is no such device here, or the run began with other settings.
        GrokError: a file could not be written; what was recorded before stays.
    """
    find_device(config.run.device)  # before anything is written
    try:
        with Claim(run.path):
            summary = run.recorded_summary()
            if summary["status"] in DONE:
                return Outcome(summary["status"], summary.get("message", ""))
            return _train(run, config, watcher or Recorder(), should_stop)
    except OSError as error:
        raise GrokError(
            f"cannot write {error.filename or run.path}: {cause(error)}; what was recorded is "
            f"safe. Mend that, then go on with `grok train --resume {shlex.quote(str(run.path))}`"
        ) from error


def _train(
    run: RunDir, config: Config, watcher: Recorder, should_stop: Callable[[], bool]
) -> Outcome:
    """Train a claimed run."""
    facts = prepare_process(config.run.threads)
    parent = config.branch.parent
    before = run if parent is None or run.resume_file.exists() else find_relative(run, parent)
    trainer = Trainer(with_its_kernels(before, config))
    recorder = RunRecorder(run, config)
    try:
        if not _go_on(run, trainer, recorder, should_stop):
            return Outcome("interrupted", "interrupted before the branch had begun")
        if trainer.step > 0:
            warn_of_other_kernels(run, trainer)
        record_environment(run, trainer, facts)
        wanted = config.measure.diagnostics
        initial = _initial_model(run, trainer) if wanted else None
        periodic = schedule(wanted, trainer.model, initial)
        recorders = Recorders(recorder, bystander(Recorder, watcher), _wandb(run, config))
        return trainer.run(recorders, periodic, should_stop)
    finally:
        recorder.close()


def _go_on(
    run: RunDir, trainer: Trainer, recorder: RunRecorder, should_stop: Callable[[], bool]
) -> bool:
    """Bring trainer and recorder to where the run's state stands, if it has one; a branch that has
    none is begun. Returns False if it was told to stop before that was done.

    A state that cannot be used gives way to the one before it, with a warning.

    Raises:
        CheckpointError, GrokError: none can be used.
        UsageError: the run began with other settings.
    """
    if not run.resume_file.exists():
        run.previous_file.unlink(missing_ok=True)  # the run starts over
        if trainer.config.branch.parent is None:
            return True
        if not begin(run, trainer, should_stop):
            return False
    try:
        _load(run, run.resume_file, trainer, recorder)
    except UsageError:
        raise
    except GrokError as error:
        if not run.previous_file.exists():
            raise type(error)(f"{error}; {run.start_over()}") from None
        try:
            _load(run, run.previous_file, trainer, recorder)
        except UsageError:
            raise
        except GrokError:
            raise type(error)(f"{error}; {run.start_over()}") from None
        warnings.warn(
            f"{error}; going on from the state before it, of step {trainer.step}",
            GrokWarning,
            stacklevel=2,
        )
        run.previous_file.replace(run.resume_file)
    return True


def _load(run: RunDir, file: Path, trainer: Trainer, recorder: RunRecorder) -> None:
    """Bring trainer and recorder to a state.

    Raises:
        GrokError: it, or metrics.csv, is damaged.
        UsageError: the run began with other settings.
    """
    state = load_tensors(file)
    if not isinstance(state, dict) or not state.keys() >= STATE_KEYS:
        raise CheckpointError(f"{file}: not a resume state")
    _check_settings(run, file, state, trainer.config)
    try:
        trainer.load(state)
        recorder.resume(state)
    except ValueError as error:
        raise CheckpointError(f"{file}: damaged: {error}") from None


def _check_settings(run: RunDir, file: Path, state: dict[str, Any], config: Config) -> None:
    """Raise UsageError if the run began with other settings than it is to go on with.

    States of earlier versions do not say; the run's first snapshot does.
    """
    began = state.get("identity")
    if began is None and run.snapshot_file(0).exists():
        began = load_snapshot(run.snapshot_file(0)).config.identity()
    if began is not None:
        try:
            changed = changed_settings(Config.recorded(dict(began)), config)
        except (TypeError, ValueError):  # pydantic's included
            raise CheckpointError(f"{file}: damaged: its settings are not valid") from None
        run.refuse_changes(changed, file)
    measured = state.get("diagnostics")
    if isinstance(measured, dict) and measured.keys() != config.measure.diagnostics.keys():
        raise UsageError(
            f"measure.diagnostics: {run.path} measures {', '.join(measured) or 'none'} since it "
            f"began and cannot change to {', '.join(config.measure.diagnostics) or 'none'}; others "
            "are computed afterwards, from its snapshots, by `grok measure`"
        )


def _wandb(run: RunDir, config: Config) -> Recorder:
    if config.wandb.mode == "off":
        return Recorder()
    from grok_cli.runs.wandb_recorder import WandbRecorder

    return WandbRecorder(run, config)


def _initial_model(run: RunDir, trainer: Trainer) -> Transformer:
    """The model at step 0: what the trainer holds, or, of a resumed run, its first snapshot."""
    if trainer.step == 0:
        return copy.deepcopy(trainer.model)
    first = load_snapshot(run.snapshot_file(0))  # of a branch: perhaps of other settings
    return first.model(trainer.dataset.vocab).to(trainer.device)

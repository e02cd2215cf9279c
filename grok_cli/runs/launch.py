"""Train a run in its directory, from the start or from where it stands."""

import copy
import shlex
from collections.abc import Callable
from typing import Any

from grok_cli.core.config import Config
from grok_cli.core.model import Transformer
from grok_cli.core.process import prepare_process
from grok_cli.core.training import Outcome, Recorder, Recorders, Trainer
from grok_cli.diagnostics.schedule import schedule
from grok_cli.errors import GrokError
from grok_cli.runs.checkpoints import CheckpointError, load_snapshot, load_tensors
from grok_cli.runs.claim import Claim
from grok_cli.runs.directory import DONE, RunDir
from grok_cli.runs.environment import record_environment
from grok_cli.runs.recorder import STATE_KEYS, Bystander, RunRecorder


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
        GrokError: a file could not be written; what was recorded before stays.
    """
    try:
        with Claim(run.path):
            summary = run.recorded_summary()
            if summary["status"] in DONE:
                return Outcome(summary["status"], summary.get("message", ""))
            return _train(run, config, watcher or Recorder(), should_stop)
    except OSError as error:
        raise GrokError(
            f"cannot write to {run.path}: {error.strerror}; what was recorded is safe. Mend "
            f"that, then go on with `grok train --resume {shlex.quote(str(run.path))}`"
        ) from error


def _train(
    run: RunDir, config: Config, watcher: Recorder, should_stop: Callable[[], bool]
) -> Outcome:
    """Train a claimed run."""
    facts = prepare_process(config.run.threads)
    trainer = Trainer(config)
    recorder = RunRecorder(run, config)
    try:
        if run.resume_file.exists():
            state = _resume_state(run)
            recorder.resume(state)
            trainer.load(state)
        record_environment(run, trainer, facts)
        wanted = config.measure.diagnostics
        initial = _initial_model(run, trainer) if wanted else None
        measurements = schedule(wanted, trainer.model, initial)
        recorders = Recorders(recorder, Bystander(watcher), _wandb(run, config))
        return trainer.run(recorders, measurements, should_stop)
    finally:
        recorder.close()


def _resume_state(run: RunDir) -> dict[str, Any]:
    """The run's resume state.

    Raises:
        CheckpointError: it is damaged, or something else.
    """
    try:
        state = load_tensors(run.resume_file)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {run.start_over()}") from None
    if not isinstance(state, dict) or not state.keys() >= STATE_KEYS:
        raise CheckpointError(f"{run.resume_file}: not a resume state; {run.start_over()}")
    return state


def _wandb(run: RunDir, config: Config) -> Recorder:
    if config.wandb.mode == "off":
        return Recorder()
    from grok_cli.runs.wandb_recorder import WandbRecorder

    return WandbRecorder(run, config)


def _initial_model(run: RunDir, trainer: Trainer) -> Transformer:
    """The model at step 0: what the trainer holds, or, of a resumed run, its first snapshot."""
    model = copy.deepcopy(trainer.model)
    if trainer.step > 0:
        model.load_state_dict(load_snapshot(run.snapshot_file(0)).weights)
    return model

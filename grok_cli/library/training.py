"""`grok.train`: one run, trained in this process."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from grok_cli.core.config import Config, affects_result
from grok_cli.errors import GrokError, UsageError
from grok_cli.library.bringing import bring_to_end
from grok_cli.library.run import Run
from grok_cli.library.settings import Settings, Shortcuts, settings_of
from grok_cli.runs.directory import RunDir, changed_settings, check_name, create_run
from grok_cli.runs.settings import build_config, flat_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack


def train(
    settings: Settings = None,
    *,
    name: str | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    progress: bool | None = None,
    **shortcuts: "Unpack[Shortcuts]",
) -> Run:
    """Train a transformer, as `grok train` does, in the same directory.

    The same call again goes on where the run stands, and returns a finished one at once. Ctrl-C
    saves before it raises. In this process subnormal numbers are flushed to zero from then on.

    Args:
        settings: a `Config`, a dictionary such as {"model.norm": "rmsnorm"} or {"model": {...}},
            or the path of a file of settings; None: the defaults.
        name: of the run's directory; None: made of the settings.
        runs_dir: where it is made.
        progress: whether a line shows how far it is; None: in IPython only.
        **shortcuts: settings with the names of the command's flags, which win: ln_type, seed,
            steps (updates), lr, weight_decay, task, modulus, layers, d_model, eval_every (steps),
            device, threads, wandb, until_grokked, measure ({diagnostic: steps between}).

    Returns:
        The run, finished, with all that `measure` names.

    Raises:
        UsageError: a setting that is not valid, or a directory that holds another run.
        GrokError: training diverged (`grok.load` gives the run), another process trains the run,
            or a file cannot be written.
        KeyboardInterrupt: after saving.

    Examples:
        >>> run = grok.train({"data.modulus": 13}, d_model=16, steps=40, threads=1)
        >>> run.metrics()["step"].max()
        40
    """
    from grok_cli.core.training import find_device

    given = settings_of(settings, shortcuts, "grok.train")
    config = build_config(given, "grok.train")
    directory = config.run_name() if name is None else check_name(name)
    run = RunDir(Path(runs_dir) / directory)
    find_device(config.run.device)  # before anything is written
    if run.exists() and run.has_begun():
        trained_as = _as_begun(run, config, given)
    else:
        create_run(run.path, config)
        trained_as = config
    bring_to_end(run, trained_as, progress, "the same call goes on")
    _measure_rest(run, config)
    return Run(run.path)


def _as_begun(run: RunDir, config: Config, given: dict[str, object]) -> Config:
    """The configuration with which a run that was begun goes on: its own, and of what was given
    all that does not affect its result. What it measures stays, too; more is measured afterwards.

    Raises:
        UsageError: it was begun with other settings.
    """
    stored = run.check_identity()
    if changed := changed_settings(stored, config):
        raise UsageError(
            f"{run.path} holds a run of other settings ({'; '.join(changed)}); choose another "
            "name, or take it as it is with grok.load"
        )
    changes = {
        key: value
        for key, value in given.items()
        if not affects_result(key) and key != "measure.diagnostics"
    }
    return build_config(flat_settings(stored) | changes, "grok.train")


def _measure_rest(run: RunDir, config: Config) -> None:
    """Compute from snapshots what was to be measured and was not while training.

    Raises:
        GrokError: something could not be.
    """
    if not config.measure.diagnostics:
        return
    from grok_cli.sweeps.lacks import lacks, measure_missing
    from grok_cli.sweeps.plan import PlannedRun

    problems = measure_missing(lacks(PlannedRun(run, config, ())))
    if problems:
        raise GrokError("; ".join(problems))

"""Training a run to its end in this process, for `grok.train` and `Run.branch`."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config
from grok_cli.errors import GrokError
from grok_cli.runs.branching import create_branch, plan_branch
from grok_cli.runs.directory import RunDir, check_name


def bring_to_end(run: RunDir, config: Config, progress: bool | None, how: str) -> None:
    """Train a run, from where it stands, to its end.

    Args:
        progress: whether a line shows how far it is; None: in IPython only.
        how: to go on after Ctrl-C, for the message.

    Raises:
        GrokError: training diverged, another process trains the run, or a file cannot be written.
        KeyboardInterrupt: after saving.
    """
    import numpy as np

    from grok_cli.core.training import Recorder
    from grok_cli.library.progress import RunLine, shell, stop_on_interrupt
    from grok_cli.runs.launch import train_run

    # Before 2.4 numpy finds the limits of a type when first asked, and warns if numbers as small as
    # those are flushed to zero by then, as training has it.
    np.finfo(np.float32), np.finfo(np.float64)
    shown = shell() is not None if progress is None else progress
    with _threads_kept(), stop_on_interrupt() as interrupted:
        outcome = train_run(run, config, RunLine() if shown else Recorder(), interrupted)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt(
            f"{run.path} is saved; {how}, as does `grok train --resume "
            f"{shlex.quote(str(run.path))}`"
        )
    if outcome.status == "diverged":
        raise GrokError(f"{run.path} diverged: {outcome.message}")


def made_branch(
    parent: RunDir,
    at: int | str,
    changes: Mapping[str, Any],
    donor: RunDir | None,
    runs_dir: Path,
    name: str | None,
    progress: bool | None,
) -> Path:
    """The directory of a branch of a run, trained to its end; see `Run.branch`."""
    config = plan_branch(parent, at, changes, "run.branch", donor)
    run = RunDir(runs_dir / (config.run_name() if name is None else check_name(name)))
    if not run.exists() or run.config().digest() != config.digest():
        create_branch(run.path, config, parent, donor)
    bring_to_end(run, config, progress, "the same call goes on")
    return run.path


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Afterwards torch has as many threads as before."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""`grok.sweep`: many runs, side by side."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.errors import UsageError, warn
from grok_cli.executors.registry import build_options
from grok_cli.library.run import Run
from grok_cli.library.runs import Runs
from grok_cli.library.settings import Shortcuts, plain, settings_of, spelled
from grok_cli.runs.settings import is_sweep
from grok_cli.sweeps.lacks import measure_missing, missing_measures
from grok_cli.sweeps.seeds import seeds_of_file
from grok_cli.sweeps.spec import PAPER, Spec, spec_named, spec_of
from grok_cli.sweeps.sweep import plan_sweep, run_sweep

if TYPE_CHECKING:
    from typing_extensions import Unpack

SOURCE = "grok.sweep"


def sweep(
    what: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    seeds: int | Sequence[int] | None = None,
    jobs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    executor: str | Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **shortcuts: "Unpack[Shortcuts]",
) -> Runs:
    """Train many settings on many seeds, as `grok sweep` does, in the same directories.

    The same call again skips what is finished and goes on with what is not; so does Ctrl-C
    followed by the same call. Runs that other sweeps trained are linked, not trained again. Each
    run has a process of its own.

    Args:
        what: a study ("ln-positions"; `grok studies` lists them), a sweep file, a grid such as
            {"model.ln_type": ["off", "pre"]} (all combinations), or the content of a sweep file as
            a dictionary; None: the six placements of the paper.
        seeds: how many, or which; None: what the sweep says, else the paper's five.
        jobs: runs at a time; None: as the cores allow.
        settings: of every run, which win over the sweep's: {"data.modulus": 97}.
        runs_dir: where the runs lie; None: runs, of a study or file runs/NAME.
        executor: a kind ("slurm", "ray"), or {"kind": "slurm", "partition": "cpu"}.
        progress: whether a line shows how far it is; None: in IPython only.
        **shortcuts: further settings of every run, with the names that `grok.train` knows.

    Returns:
        All runs, in the sweep's order. A run that failed or diverged, and a diagnostic that could
        not be computed, is a `GrokWarning`; `run.summary` says what became of each.

    Raises:
        UsageError: a sweep or a setting that is not valid.
        GrokError: no run can go on, as on a full disk.
        KeyboardInterrupt: after every run was saved.

    Examples:
        >>> small = {"data.modulus": 13, "model.d_model": 16}
        >>> runs = grok.sweep({"ln_type": ["off"]}, seeds=1, steps=60, settings=small, threads=1)
        >>> [run.summary["status"] for run in runs]
        ['finished']
    """
    from grok_cli.library.progress import SweepLine, shell, stop_on_interrupt
    from grok_cli.sweeps.drive import SweepWatcher

    spec = _wanted(what)
    given = settings_of(settings, shortcuts, SOURCE)
    if isinstance(executor, Mapping):
        section, kind = executor, None
    else:
        section, kind = spec.executor, executor
    flags = {} if jobs is None else {"jobs": ("--jobs", jobs)}
    if seeds is not None and "train.seed" in {**spec.grid, **given}:
        raise UsageError("train.seed: given by the sweep or a setting, and by seeds; leave one out")
    plan = plan_sweep(
        spec,
        build_options(section, spec.name or SOURCE, kind, flags),
        None if runs_dir is None else Path(runs_dir),
        fixed=given,
        seeds=None if seeds is None else seeds_of_file(plain(seeds), SOURCE),
    )
    shown = shell() is not None if progress is None else progress
    command = f"grok sweep {shlex.quote(spec.name or '--grid')} (from Python)"
    with stop_on_interrupt() as interrupted:
        watcher = SweepLine() if shown else SweepWatcher()
        entries = run_sweep(plan, command, watcher, should_stop=interrupted)
        lacking = [] if interrupted() else missing_measures(entries)
        problems = measure_missing(lacking, should_stop=interrupted)
        if interrupted():
            raise KeyboardInterrupt("every run is saved; the same call goes on")
    problems += [
        f"{entry.planned.run.path} {entry.state}: {entry.reason}"
        for entry in entries
        if entry.state != "finished"
    ]
    for problem in problems:
        warn(problem)
    return Runs(tuple(Run(e.planned.run.path) for e in entries if e.planned.run.exists()))


def _wanted(what: str | os.PathLike[str] | Mapping[str, Any] | None) -> Spec:
    """The sweep."""
    if what is None:
        return PAPER
    if not isinstance(what, Mapping):
        return spec_named(os.fspath(what))
    if is_sweep(what):
        return spec_of(what, SOURCE)
    grid = {key: plain(values) for key, values in spelled(what).items()}
    return spec_of({"grid": grid}, SOURCE)

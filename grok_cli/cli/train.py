"""`grok train`: one run, watched."""

import os
import shlex
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from grok_cli.cli import completion
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.output import can_redraw, print_json
from grok_cli.cli.parameters import Quiet, RunName, RunsDir, SummaryJson, option
from grok_cli.cli.signals import stop_on_signals
from grok_cli.core.config import Config, affects_result
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import RunDir, check_name, create_run
from grok_cli.runs.settings import build_config, flat_settings, layer

EXIT_CODES = {"finished": 0, "diverged": 1, "interrupted": 130}


@with_config_options()
def train(
    *,
    typed: Typed,
    runs_dir: RunsDir = None,
    name: RunName = None,
    resume: Annotated[
        Path | None,
        option(
            "Go on with this run instead of starting one.",
            metavar="RUN_DIR",
            autocompletion=completion.run_directories,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: SummaryJson = False,
    stop_at_eof: Annotated[
        bool, option("Save and stop when stdin ends.", "--stop-at-eof", hidden=True)
    ] = False,
) -> None:
    """Train a transformer until it groks.

    The run's directory is the last line on stdout. Settings come from the defaults, then --config,
    then flags and --set. Ctrl-C saves; --resume goes on.
    """
    if stop_at_eof:
        threading.Thread(target=_terminate_at_eof, daemon=True).start()
    should_stop = stop_on_signals()
    if resume is None:
        config, _ = typed.resolve()
        directory = config.run_name() if name is None else check_name(name)
        check_device(config)
        run = create_run((runs_dir or Path("runs")) / directory, config)
    elif name is not None or runs_dir is not None:
        raise UsageError("--name, --runs-dir: a resumed run keeps its place; leave them out")
    else:
        run = RunDir(resume)
        config = resumed_config(run, typed)

    train_and_report(run, config, quiet, as_json, should_stop)


def train_and_report(
    run: RunDir, config: Config, quiet: bool, as_json: bool, should_stop: Callable[[], bool]
) -> NoReturn:
    """Train a run, print what came of it, and exit.

    Raises:
        GrokError: it diverged, or a file could not be written.
    """
    from grok_cli.runs.launch import train_run

    outcome = train_run(run, config, watcher(run, quiet or as_json), should_stop)
    _report(run, quiet, as_json)
    if outcome.status == "diverged":
        raise GrokError(f"{run.path} diverged: {outcome.message}")
    if outcome.status == "interrupted":
        path = shlex.quote(str(run.path))
        typer.echo(f"interrupted; go on with: grok train --resume {path}", err=True)
    raise typer.Exit(EXIT_CODES[outcome.status])


def resumed_config(run: RunDir, typed: Typed) -> Config:
    """The run's own configuration, with typed changes to what does not affect its result.

    Raises:
        UsageError: another setting was typed.
    """
    if typed.file is not None:
        raise UsageError("--config: a resumed run keeps its settings; leave it out")
    stored = flat_settings(run.check_identity())
    values, origin = layer(None, typed.flags, typed.sets)
    config = build_config(stored | values, origin)
    wanted = flat_settings(config)
    for key in values:
        if affects_result(key) and wanted.get(key) != stored.get(key):
            raise UsageError(
                f"{key}: {run.path} was started with {stored.get(key)!r}, and a resumed run "
                "keeps it; start a new run with `grok train` instead"
            )
    return config


def check_device(config: Config) -> None:
    """Raise UsageError, before anything is written, if the machine has no such device."""
    if config.run.device.startswith("cuda"):
        from grok_cli.core.training import find_device

        find_device(config.run.device)


def watcher(run: RunDir, quiet: bool) -> Any:
    """What shows the run while it trains: a live view where the terminal can draw, or lines."""
    from grok_cli.cli.train_view import LiveView, LogLines
    from grok_cli.core.training import Recorder

    console = Console(stderr=True)
    if quiet:
        return Recorder()
    return LiveView(console, run.path.name) if can_redraw(console) else LogLines(console)


def _terminate_at_eof() -> None:
    """Terminate this process once stdin ends, as it does when the program that holds it dies."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _report(run: RunDir, quiet: bool, as_json: bool) -> None:
    """The summary, and the path as the last line."""
    summary = run.summary()
    if as_json:
        print_json({"path": str(run.path), **summary})
        return
    if not quiet and "step" in summary:  # a branch may end before it has begun
        for line in summary_lines(summary):
            typer.echo(line)
    typer.echo(run.path)


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary in a few lines of words; the terms are defined in core/phases.py."""

    def at(key: str) -> str:
        return "not reached" if summary.get(key) is None else f"step {summary[key]}"

    lines = [
        f"{summary['status']} at step {summary['step']} of {summary['steps']} "
        f"({summary['seconds']:.0f} s, {summary['steps_per_second']:.1f} steps/s)",
        f"memorised   (train accuracy >= 0.99)   {at('memorised_at')}",
        f"generalised (test accuracy >= 0.995)   {at('generalised_at')}",
        f"sustained   (for 500 steps more)       {at('sustained_at')}",
    ]
    if summary["delay"] is not None:
        lines.append(f"delay       (between the first two)    {summary['delay']} steps")
    if summary["collapsed_at"] is not None:
        lines.append(f"collapsed   (test accuracy < 0.9)      {at('collapsed_at')}")
    final = summary["final"]
    for split in ("train", "test"):
        if f"{split}/loss" in final:
            loss, accuracy = final[f"{split}/loss"], final[f"{split}/accuracy"]
            lines.append(f"{split:<5} loss {_number(loss, '.4g')}, accuracy {accuracy:.6g}")
    return lines


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)

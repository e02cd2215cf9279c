"""`grok studies`: the experiments that come with the program, and how far each is here."""

import difflib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.errors import UsageError
from grok_cli.executors.local import available_cores, share_cores
from grok_cli.runs.directory import DONE, RunDir, find_runs
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import measured_speed, plan_runs, steps_left
from grok_cli.sweeps.spec import STUDIES, read_spec

app = typer.Typer(
    help="List the experiments that come with the program; `grok sweep NAME` runs one.",
    invoke_without_command=True,
)

# The settings that a step's time depends on; runs that agree in them are equally fast.
PACE = (
    "data.task",
    "data.modulus",
    "data.test_ratio",
    "model.n_layers",
    "model.d_model",
    "model.mlp_ratio",
    "train.batch_size",
    "train.dtype",
    "train.eval_every",
    "measure.diagnostics",
)
RunsDir = Annotated[Path, typer.Option(help="Where runs are; those of a study in DIR/NAME.")]


@dataclass(frozen=True)
class Study:
    """A study and what is there of it.

    Attributes:
        runs, done: how many there are in all, and how many of them are finished.
        seconds: until the rest is done, at the pace of finished runs of this machine; 0 if
            nothing is left, None if no such run is there.
    """

    name: str
    question: str
    source: str
    runs: int
    done: int
    seconds: float | None


@app.callback()
def studies(
    context: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the experiments that come with the program; `grok sweep NAME` runs one.

    A smaller version: `grok sweep NAME --seeds 1 --until-grokked`.
    """
    if context.invoked_subcommand is not None:
        return
    paces = measured_paces(runs_dir)
    found = [
        look(file, runs_dir, paces) for file in sorted(STUDIES.glob("*.yaml"), key=lambda f: f.stem)
    ]
    if as_json:
        typer.echo(json.dumps([vars(study) for study in found], indent=2))
        return
    Console().print(_table(found))
    if any(study.seconds is None for study in found):
        typer.echo(
            f"time unknown: {runs_dir} has no finished run of that size; `grok bench` measures "
            "the speed",
            err=True,
        )


@app.command()
def show(name: Annotated[str, typer.Argument(help="A study; `grok studies` lists them.")]) -> None:
    """Print a study's file."""
    typer.echo(find_study(name).read_text(), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A study; `grok studies` lists them.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The new file.")],
) -> None:
    """Copy a study's file, to start one's own: `grok sweep FILE.yaml` runs it."""
    text = find_study(name).read_text()
    try:
        with file.open("x") as new:
            new.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists; choose another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(file)


def find_study(name: str) -> Path:
    """The file of a study that comes with the program.

    Raises:
        UsageError: there is none of that name.
    """
    known = [file.stem for file in STUDIES.glob("*.yaml")]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "`grok studies` lists them"
        raise UsageError(f"{name} is no study; {hint}")
    return STUDIES / f"{name}.yaml"


def look(file: Path, runs_dir: Path, paces: Mapping[str, float]) -> Study:
    """What is there of a study.

    Args:
        paces: steps per second of a run, by the settings that they depend on.
    """
    spec = read_spec(file)
    planned = plan_runs(spec, {}, None, runs_dir / file.stem)
    summaries = [run.summary() for run in planned]
    seconds: float | None = 0.0
    for run, summary in zip(planned, summaries, strict=True):
        steps, speed = steps_left(run, summary), paces.get(pace(flat_settings(run.config)))
        if steps and seconds is not None:
            seconds = seconds + steps / speed if speed else None
    workers, _ = share_cores(len(planned), None, None, available_cores())
    return Study(
        name=file.stem,
        question=spec.question,
        source=spec.source,
        runs=len(planned),
        done=sum(summary["status"] in DONE for summary in summaries),
        seconds=None if seconds is None else seconds / workers,
    )


def measured_paces(directory: Path) -> dict[str, float]:
    """Median steps per second of the runs that finished on this machine, by `pace`."""
    by_pace: dict[str, list[dict[str, Any]]] = {}
    for run in find_runs(directory):
        if _host(run) == socket.gethostname():
            key = pace(flat_settings(run.config()))
            by_pace.setdefault(key, []).append(run.recorded_summary())
    speeds = {key: measured_speed(summaries) for key, summaries in by_pace.items()}
    return {key: speed for key, speed in speeds.items() if speed}


def pace(settings: Mapping[str, Any]) -> str:
    """What a step's time depends on, as one text."""
    return json.dumps([settings[key] for key in PACE], sort_keys=True)


def _host(run: RunDir) -> str | None:
    """The machine that trained a run last; None if that is not known."""
    try:
        return str(json.loads(run.environment_file.read_text())[-1]["host"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _table(found: Sequence[Study]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("study", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("time left", justify="right", no_wrap=True)
    table.add_column("question", overflow="fold")
    for study in found:
        done = Text(f"{study.done}/{study.runs}", "green" if study.done == study.runs else "")
        table.add_row(study.name, done, _time(study.seconds), study.question)
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return str(timedelta(seconds=round(seconds))) if seconds else "–"

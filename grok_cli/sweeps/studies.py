"""The studies that come with the program, and how far each is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grok_cli.errors import GrokError, UsageError, did_you_mean
from grok_cli.executors.local import available_cores, share_cores
from grok_cli.runs.directory import DONE, find_runs
from grok_cli.runs.files import write_output
from grok_cli.runs.sweep_record import read_records
from grok_cli.sweeps.estimate import Speeds, forecast, measure_unknown, recorded_speeds
from grok_cli.sweeps.plan import PlannedRun, plan_runs, take_over
from grok_cli.sweeps.reuse import TrainedRuns
from grok_cli.sweeps.spec import STUDIES, Spec, read_spec, spec_named, study_files


@dataclass(frozen=True)
class Study:
    """A study and what is there of it.

    Attributes:
        runs, done: how many there are in all, and how many of them are done, in whichever
            directory.
        seconds: until the rest is done; 0 if nothing is left, None if no speed is known.
    """

    name: str
    question: str
    source: str
    runs: int
    done: int
    seconds: float | None


@dataclass(frozen=True)
class Overview:
    """All studies, and their runs in all: one that several studies share counts once.

    Attributes:
        problems: a message a study in whose directory something is wrong.
    """

    studies: tuple[Study, ...]
    runs: int
    done: int
    problems: tuple[str, ...] = ()


def find_study(name: str) -> Path:
    """The file of a study that comes with the program.

    Raises:
        UsageError: there is none of that name.
    """
    known = [file.stem for file in study_files()]
    if name not in known:
        hint = did_you_mean(name, known) or "`grok studies` lists them"
        raise UsageError(f"{name} is no study; {hint}")
    return STUDIES / f"{name}.yaml"


def copy_study(name: str, file: Path) -> None:
    """Copy a study's file.

    Raises:
        UsageError: there is no such study, or a file of that name already.
        GrokError: the new file cannot be written.
    """
    text = find_study(name).read_text()
    if file.is_file() or file.is_dir():
        raise UsageError(f"{file} exists; choose another name")
    write_output(file, text)


def overview(runs_dir: Path, measure: bool = False) -> Overview:
    """Every study, given the runs that are below `runs_dir`; those of a study are in its NAME.

    Args:
        measure: make a few steps to learn the speed where no comparable run finished here.
    """
    there = list(find_runs(runs_dir))
    trained, speeds = TrainedRuns(there), recorded_speeds(there)
    plans, problems = [], []
    for file in study_files():
        spec = read_spec(file)
        runs = plan_runs(spec, {}, None, runs_dir / file.stem)
        try:
            runs = take_over(runs, trained)
        except GrokError as error:
            problems.append(str(error))
        plans.append((file.stem, spec, runs))
    if measure:
        measure_unknown(speeds, (run.config for *_, runs in plans for run in runs), threads=1)
    done = {
        planned.config.digest(): planned.summary()["status"] in DONE
        for _, _, runs in plans
        for planned in runs
    }
    studies = tuple(_study(name, spec, runs, speeds) for name, spec, runs in plans)
    return Overview(studies, len(done), sum(done.values()), tuple(problems))


def _study(name: str, spec: Spec, runs: Sequence[PlannedRun], speeds: Speeds) -> Study:
    standing = [(run, run.summary()) for run in runs]
    workers, _ = share_cores(len(runs), None, None, available_cores())
    return Study(
        name=name,
        question=spec.question,
        source=spec.source,
        runs=len(runs),
        done=sum(summary["status"] in DONE for _, summary in standing),
        seconds=forecast(standing, speeds, workers).seconds,
    )


def study_of(directory: Path) -> Spec | None:
    """The study that the runs of a directory are of, by its name or by what was recorded there;
    None if they are of none."""
    known = {file.stem for file in study_files()}
    recorded = [entry.get("spec") for entry in read_records(directory)]
    for name in (directory.resolve().name, *reversed(recorded)):
        if isinstance(name, str) and name in known:
            return spec_named(name)
    return None

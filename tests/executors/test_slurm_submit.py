"""What sbatch is given, and what is made of its answers. It is a script here that keeps what it
gets."""

from pathlib import Path

import pytest

pytest.importorskip("submitit", reason="needs the extra [slurm]")

from grok_cli.executors.base import Job
from grok_cli.executors.slurm.batch import Batch
from grok_cli.executors.slurm.options import SlurmOptions
from grok_cli.executors.slurm.queue import NoAnswerError, SlurmError
from grok_cli.executors.slurm.submit import NoRoomError, submit_batch
from grok_cli.runs.directory import create_run
from tests.conftest import small_config


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, with a `srun` that submitit looks for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write_program(folder / "srun", "exit 1")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def submit(directory: Path, options: SlurmOptions, count: int = 2) -> Batch:
    runs = [create_run(directory / f"run{n}", small_config(train__seed=n)) for n in range(count)]
    batch = Batch.create(directory / ".slurm", "my sweep", [[run.path.name] for run in runs])
    submit_batch(batch, [[Job(run)] for run in runs], options)
    return batch


def test_sbatch_gets_every_option(bin_dir: Path, tmp_path: Path) -> None:
    write_program(bin_dir / "sbatch", f'cp "$1" "{tmp_path}/script"; echo Submitted batch job 7')
    options = SlurmOptions(
        partition="a,b",
        account="lab",
        time="1-2",
        cpus=3,
        gpus=1,
        memory="4G",
        options={"constraint": "avx512", "exclusive": True, "qos": False},
    )
    batch = submit(tmp_path / "the runs", options)
    lines = (tmp_path / "script").read_text().splitlines()
    given = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert given >= {
        *("partition=a,b", "account=lab", "time=1560", "cpus-per-task=3", "gpus-per-node=1"),
        *("mem=4G", "constraint=avx512", "exclusive", "array=0-1%2", "signal=USR2@90", "requeue"),
        f"job-name={batch.job_name}",
    }
    assert not any(line.startswith(("qos", "wckey", "error")) for line in given)
    (command,) = (line for line in lines if line.startswith("srun"))
    assert "--cpus-per-task=3" in command
    assert " " not in batch.job_name
    assert {file.name for file in batch.submitit.glob("7_?_submitted.pkl")} == {
        "7_0_submitted.pkl",
        "7_1_submitted.pkl",
    }


def test_time_and_memory_are_left_to_the_cluster(bin_dir: Path, tmp_path: Path) -> None:
    write_program(bin_dir / "sbatch", f'cp "$1" "{tmp_path}/script"; echo Submitted batch job 7')
    submit(tmp_path / "runs", SlurmOptions(), count=1)
    text = (tmp_path / "script").read_text()
    assert not any(f"--{name}=" in text for name in ("time", "mem", "partition", "gpus-per-node"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("sbatch: error: AssocMaxSubmitJobLimit", NoRoomError),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", NoRoomError),
        ("sbatch: error: Batch job submission failed: Socket timed out", NoAnswerError),
        ("sbatch: error: invalid partition specified: nowhere", SlurmError),
        ("sbatch: error: QOSMaxCpuPerUserLimit", SlurmError),
    ],
)
def test_answers_of_sbatch(
    words: str,
    error: type[Exception],
    bin_dir: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_program(bin_dir / "sbatch", f'echo "{words}" >&2; exit 1')
    with pytest.raises(SlurmError) as caught:
        submit(tmp_path / "runs", SlurmOptions())
    assert caught.type is error
    assert words in str(caught.value)
    assert capfd.readouterr().err == ""

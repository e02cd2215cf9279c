"""The copy of a run that comes back bit by bit from where it is trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from grok_cli.core.training import Recorder, Row, Trainer
from grok_cli.executors.ray import mirror
from grok_cli.executors.ray.mirror import (
    Parcel,
    SentFile,
    Stamps,
    changed_files,
    plant,
    seed_files,
    write_parcel,
)
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from tests.conftest import small_config

CONFIG = small_config(train__snapshot_every=10)
RESULT = ("metrics.csv", "snapshots/step_000000.pt", "snapshots/step_000060.pt")


class Sender(Recorder):
    """The side that trains, and what it sends meanwhile."""

    def __init__(self, source: Path, seed: dict[str, bytes]) -> None:
        source.mkdir(parents=True)
        self.source, self.seen, self.parcels = source, plant(source, seed), list[Parcel]()

    def send(self, ended: bool = False) -> Parcel:
        parcel = changed_files(self.source, self.seen, ended)
        self.seen = self.seen | {file.name: file.stamp for file in parcel.files}
        self.parcels.append(parcel)
        return parcel

    def rows(self, rows: Sequence[Row]) -> None:
        self.send()

    def save(self, trainer: Trainer) -> None:
        self.send()


def train(run: RunDir, watcher: Recorder | None = None) -> None:
    assert train_run(run, CONFIG, watcher).status == "finished"


def sent(source: Path, seed: dict[str, bytes]) -> list[Parcel]:
    """All that is sent of a run which goes on from a seed to its end."""
    sender = Sender(source, seed)
    train(RunDir(source), sender)
    sender.send(ended=True)
    return sender.parcels


def result(run: RunDir) -> list[bytes]:
    return [(run.path / name).read_bytes() for name in RESULT]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """An undisturbed run."""
    run = create_run(tmp_path_factory.mktemp("whole") / "run", CONFIG)
    train(run)
    return run


@pytest.mark.slow
def test_copy_can_be_resumed_whichever_file_came_last(tmp_path: Path, whole: RunDir) -> None:
    """The receiving side is killed after every single file, and its copy goes on by itself."""
    source = create_run(tmp_path / "seed", CONFIG)
    parcels = sent(tmp_path / "source", seed_files(source.path))
    files = [file for parcel in parcels for file in parcel.files]
    assert len(files) > 10
    for count in range(len(files) + 1):
        copy = create_run(tmp_path / f"copy{count}", CONFIG)
        write_parcel(copy.path, Parcel(tuple(files[:count]), complete=True))
        finished = copy.recorded_summary()["status"] == "finished"
        assert finished == (count == len(files))
        train(copy)
        assert result(copy) == result(whole)


def test_next_worker_goes_on_from_what_came_before_the_last_was_lost(
    tmp_path: Path, whole: RunDir
) -> None:
    copy = create_run(tmp_path / "copy", CONFIG)
    first = sent(tmp_path / "first", seed_files(copy.path))
    saved = next(n for n, parcel in enumerate(first) if "resume.pt" in names(parcel))
    for parcel in first[: saved + 1]:
        write_parcel(copy.path, parcel)
    assert copy.recorded_summary()["status"] == "running"
    second = sent(tmp_path / "second", seed_files(copy.path))
    for parcel in second:
        write_parcel(copy.path, parcel)
    assert result(copy) == result(whole)
    sessions = json.loads(copy.environment_file.read_text())
    assert [session["from_step"] for session in sessions] == [0, 20]
    assert {path.name for path in copy.snapshots()} == {path.name for path in whole.snapshots()}


def names(parcel: Parcel) -> list[str]:
    return [file.name for file in parcel.files]


def write(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_summary_of_an_end_waits_for_the_end(tmp_path: Path) -> None:
    """Files of the last moments, W&B's for one, are still being written when it appears."""
    write(tmp_path, {"summary.json": '{"status": "finished"}', "metrics.csv": "step\n1\n"})
    assert changed_files(tmp_path, {}, ended=False).files == ()
    assert names(changed_files(tmp_path, {}, ended=True)) == ["metrics.csv", "summary.json"]


def test_while_training_goes_on_the_summary_alone_is_sent_between_saves(tmp_path: Path) -> None:
    write(tmp_path, {"summary.json": '{"status": "running"}', "metrics.csv": "step\n1\n2"})
    write(tmp_path, {"snapshots/step_000001.pt": "weights", "wandb/run.wandb": "log"})
    assert names(changed_files(tmp_path, {}, ended=False)) == ["summary.json"]
    write(tmp_path, {"resume.pt": "state"})
    parcel = changed_files(tmp_path, {}, ended=False)
    assert names(parcel) == [
        "snapshots/step_000001.pt",
        "metrics.csv",
        "resume.pt",
        "summary.json",
    ]
    assert parcel.files[1].content == b"step\n1\n", "a row that is being written stays behind"


def test_thousands_of_snapshots_come_in_parcels_and_the_state_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PARCEL_BYTES", 25)
    for step in range(5):
        write(tmp_path, {f"snapshots/step_00000{step}.pt": 10 * "x"})
    write(tmp_path, {"resume.pt": "state", "metrics.csv": "step\n"})
    seen: Stamps = {}
    parcels = []
    while not parcels or not parcels[-1].complete:
        parcels.append(changed_files(tmp_path, seen, ended=False))
        seen |= {file.name: file.stamp for file in parcels[-1].files}
    assert [len(parcel.files) for parcel in parcels] == [3, 4]
    assert names(parcels[1])[2:] == ["metrics.csv", "resume.pt"]


def test_wandb_files_that_the_worker_dropped_are_dropped_here(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, {"wandb/old/a.wandb": "rows", "wandb/synced/b.wandb": "rows"})
    write(there, {"wandb/new/c.wandb": "rows", "wandb/synced/b.wandb": "rows"})
    write_parcel(here, changed_files(there, {}, ended=True))
    kept = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert kept == {"wandb/new/c.wandb", "wandb/synced/b.wandb"}
    assert not (here / "wandb/old").exists()


def test_claim_log_and_later_snapshots_are_not_sown(tmp_path: Path) -> None:
    write(tmp_path, {"config.yaml": "a: 1", "claim.json": "{}", "log.txt": "x"})
    write(tmp_path, {"snapshots/step_000000.pt": "w", "snapshots/step_000200.pt": "w"})
    write(tmp_path, {"measured.csv": "step\n", "environment.json": "[]"})
    (tmp_path / ".resume.pt.tmp").write_text("half")
    assert sorted(seed_files(tmp_path)) == [
        "config.yaml",
        "environment.json",
        "snapshots/step_000000.pt",
    ]


@pytest.mark.parametrize("name", ["../claim.json", "/etc/passwd", "", "a/../../b"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    parcel = Parcel((SentFile(name, (0, 0), b"x"),), complete=True)
    with pytest.raises(ValueError, match="not a file of a run directory"):
        write_parcel(tmp_path / "run", parcel)

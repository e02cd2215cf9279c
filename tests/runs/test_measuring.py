"""What is measured of runs after they were trained, and their states at any step."""

import csv
import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from grok_cli.core.data import Dataset
from grok_cli.core.training import Trainer
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs import measuring
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.measuring import (
    insides,
    last_frequencies,
    measure_snapshots,
    subject_at,
    subjects,
)
from grok_cli.runs.states import link_or_copy, rows_until, trainer_at
from grok_cli.runs.tensor_files import CheckpointError, load_tensors, save_tensors
from tests.conftest import small_config

CONFIG = small_config(
    data__modulus=7,
    data__test_ratio=0.4,
    model__d_model=8,
    train__steps=30,
    train__snapshot_every=10,
    run__save_every=11,
    measure__diagnostics={"ntk": 10},
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = create_run(tmp_path_factory.mktemp("measuring") / "run", CONFIG)
    assert train_run(run, CONFIG).status == "finished"
    return run


@pytest.fixture
def run(trained: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(trained.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


def diverged(file: Path) -> Path:
    """The snapshot, with a weight that is no number."""
    content = load_tensors(file)
    content["weights"]["pos"][0, 0] = math.nan
    save_tensors(file, content)
    return file


def test_snapshots_are_measured_as_the_networks_that_they_hold(run: RunDir) -> None:
    files = [run.snapshot_file(step) for step in (0, 10, 30)]
    found = list(measure_snapshots(files, ["rank", "ntk"]))
    for file, measured in zip(files, found, strict=True):
        snapshot = load_snapshot(file)
        dataset = Dataset.of(CONFIG)
        model = snapshot.model(dataset.vocab)
        first = load_snapshot(run.snapshot_file(0)).model(dataset.vocab)
        subject = Subject(model, dataset, first)
        expected = DIAGNOSTICS["rank"].measure(subject) | DIAGNOSTICS["ntk"].measure(subject)
        assert measured.values == expected
        assert (measured.place, measured.name) == (run.path, "run")
        told = {"snapshot": str(file), "step": snapshot.step, **expected}
        assert measured.record() == told
    assert found[0].values["ntk/relative_distance"] == 0
    with run.measured_file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["step"] for row in rows] == ["0", "10", "30"]
    assert [float(row["alpha_req/rank_test"]) for row in rows] == [
        measured.values["alpha_req/rank_test"] for measured in found
    ]


def test_what_is_measured_of_a_snapshot_is_what_was_measured_while_training(run: RunDir) -> None:
    """... of the distance from step 0, which grows."""
    with run.metrics_file.open(newline="") as table:
        rows = {row["step"]: row["ntk/relative_distance"] for row in csv.DictReader(table)}
    for step in (10, 20, 30):
        (measured,) = measure_snapshots([run.snapshot_file(step)], ["ntk"])
        distance = measured.values["ntk/relative_distance"]
        assert distance > 0
        assert float(rows[str(step)]) == pytest.approx(distance, rel=1e-5)


def test_a_snapshot_that_stands_alone_has_its_own_name_and_no_start(
    run: RunDir, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(run.snapshot_file(20), tmp_path / "alone.pt"))
    (measured,) = measure_snapshots([alone], ["rank"])
    assert (measured.run, measured.place, measured.name) == (None, alone, "alone.pt")
    with pytest.raises(UsageError, match=r"alone\.pt: diagnostic 'ntk' .* model at step 0"):
        list(measure_snapshots([alone], ["ntk"]))
    assert not (tmp_path / "measured.csv").exists()


def test_each_snapshot_is_measured_from_the_start_of_its_own_run(
    run: RunDir, tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "other")
    other = RunDir(tmp_path / "other")
    shutil.copy(run.snapshot_file(20), other.snapshot_file(0))
    files = [run.snapshot_file(20), other.snapshot_file(20)]
    mine, theirs = measure_snapshots(files, ["ntk"])
    assert mine.values["ntk/relative_distance"] > 0
    assert theirs.values["ntk/relative_distance"] == 0
    assert [found.path for _, found, _ in subjects(files) if found] == [run.path, other.path]


def test_a_snapshot_of_another_run_is_not_measured_as_one_of_this(
    run: RunDir, tmp_path: Path
) -> None:
    mine = RunDir(shutil.copytree(run.path, tmp_path / "mine"))
    text = mine.config_file.read_text()
    mine.config_file.write_text(text.replace("seed: 456", "seed: 457"))
    with pytest.raises(CheckpointError, match=r"other settings .* train\.seed: 457, and was 456"):
        list(measure_snapshots(mine.snapshots(), ["margin"]))
    damaged: list[str] = []
    assert list(measure_snapshots(mine.snapshots(), ["margin"], damaged)) == []
    assert len(damaged) == len(mine.snapshots())
    assert not mine.measured_file.exists()


def test_of_a_diverged_network_every_metric_is_empty(run: RunDir) -> None:
    file = diverged(run.snapshot_file(30))
    (measured,) = measure_snapshots([file], ["rank", "margin"])
    assert list(measured.values) == [
        *DIAGNOSTICS["rank"].columns(CONFIG.model),
        *DIAGNOSTICS["margin"].columns(CONFIG.model),
    ]
    assert all(map(math.isnan, measured.values.values()))
    with pytest.raises(GrokError, match=r"step_000030\.pt: the run diverged, weights are not"):
        subject_at(run.path)
    files = [run.snapshot_file(step) for step in (20, 30)]
    assert last_frequencies(files) == last_frequencies(files[:1])
    assert [snapshot.step for snapshot, _ in insides(files)] == [20]


def test_planes_are_those_of_the_last_snapshot(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "key_planes", lambda table: (table.shape[0], table[0, 0].item()))
    files = [run.snapshot_file(step) for step in (0, 10, 30)]
    last = load_snapshot(files[-1]).weights["embed"]
    assert last_frequencies(files) == (7, last[0, 0].item())  # of the elements alone
    assert last_frequencies([]) is None


def test_planes_that_are_asked_for_are_shown_of_every_snapshot(run: RunDir) -> None:
    files = [run.snapshot_file(step) for step in (0, 30)]
    assert [inside.keys for _, inside in insides(files, [3, 1])] == [(3, 1), (3, 1)]
    own = last_frequencies(files)
    assert [inside.keys for _, inside in insides(files)] == [own, own]


def test_a_directory_is_looked_at_in_its_last_snapshot(run: RunDir, tmp_path: Path) -> None:
    assert subject_at(run.path)[0].step == 30
    assert subject_at(run.snapshot_file(10))[0].step == 10
    with pytest.raises(UsageError, match=r"^nowhere\.pt: no such file; expected a snapshot or"):
        subject_at(Path("nowhere.pt"))
    with pytest.raises(UsageError, match=r": no snapshot there; `grok runs` lists runs$"):
        subject_at(tmp_path)


@pytest.mark.parametrize(("step", "start"), [(0, 0), (9, 0), (22, 22), (25, 22), (30, 30)])
def test_the_state_at_a_step_is_replayed_from_the_nearest_before_it(
    step: int, start: int, run: RunDir
) -> None:
    """States of 22 and 30 are kept: the last one of every 11 steps, and the end."""
    found = trainer_at(run, CONFIG, step)
    assert found is not None
    trainer, began = found
    plain = Trainer(CONFIG)
    plain.run(should_stop=lambda: plain.step == step) if step else None
    assert (trainer.step, began) == (step, start)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, trainer.model.state_dict()[name]), name
    for mine, theirs in zip(
        plain.optimizer.state()["m"], trainer.optimizer.state()["m"], strict=True
    ):
        assert torch.equal(mine, theirs)
    assert len(rows_until(run, step).lines) == step


def test_a_file_is_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("text")
    link_or_copy(source, target)
    assert source.samefile(target)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    source.write_text("other")
    target.unlink()
    link_or_copy(source, target)
    assert target.read_text() == "other"
    assert not source.samefile(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]

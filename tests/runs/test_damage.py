"""Files that were damaged or made up: named in one message, never half-read, never an explosion."""

import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from grok_cli.errors import GrokError, GrokWarning
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.tensor_files import CheckpointError, load_tensors, save_tensors
from tests.conftest import small_config, stopped_run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that was stopped after 45 steps, with states of steps 40 and 45."""
    return stopped_run(tmp_path_factory.mktemp("runs") / "stopped", after=45)


@pytest.fixture
def run(stopped: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(stopped.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The metrics.csv of that run, trained in one go."""
    run = create_run(tmp_path_factory.mktemp("runs") / "whole", small_config())
    train_run(run, small_config())
    return run.metrics_file.read_bytes()


def changed_byte(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << (at % 8)
    file.write_bytes(content)


def test_file_with_a_checksum_opens_in_torch(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x.pt", {"a": torch.arange(3)})
    assert torch.load(tmp_path / "x.pt")["a"].tolist() == [0, 1, 2]
    assert load_tensors(tmp_path / "x.pt")["a"].tolist() == [0, 1, 2]


def test_file_of_an_earlier_version_without_checksum_is_read(run: RunDir) -> None:
    file = run.snapshot_file(20)
    torch.save(torch.load(file), file)
    assert load_snapshot(file).step == 20


def test_any_changed_byte_is_noticed(run: RunDir) -> None:
    file = run.snapshot_file(20)
    whole = file.read_bytes()
    places = random.Random(0).sample(range(len(whole) - 71), 60)
    for at in [*places, len(whole) - 1]:
        file.write_bytes(whole)
        changed_byte(file, at)
        with pytest.raises(CheckpointError):
            load_snapshot(file)


def test_changed_byte_of_a_file_without_checksum_is_noticed_or_harmless(run: RunDir) -> None:
    file = run.snapshot_file(20)
    torch.save(torch.load(file), file)
    whole, weights = file.read_bytes(), load_snapshot(file).weights
    for at in random.Random(0).sample(range(len(whole)), 60):
        file.write_bytes(whole)
        changed_byte(file, at)
        try:
            found = load_snapshot(file).weights
        except CheckpointError:
            continue
        assert all(found[name].equal(weights[name]) for name in weights)


def test_run_goes_on_from_the_state_before_a_damaged_one(run: RunDir, undisturbed: bytes) -> None:
    changed_byte(run.resume_file, 5000)
    with pytest.warns(GrokWarning, match=r"resume\.pt: damaged.*going on .* step 40"):
        assert train_run(run, run.config()).status == "finished"
    assert run.metrics_file.read_bytes() == undisturbed


def test_two_damaged_states_end_in_one_message_that_says_what_to_do(run: RunDir) -> None:
    changed_byte(run.resume_file, 5000)
    changed_byte(run.previous_file, 5000)
    with pytest.raises(CheckpointError, match=r"train this run from step 0 again, delete"):
        train_run(run, run.config())


def test_deleting_the_state_starts_over(run: RunDir, undisturbed: bytes) -> None:
    run.resume_file.unlink()
    stop = iter([False, False, True])
    assert train_run(run, run.config(), should_stop=lambda: next(stop)).status == "interrupted"
    assert not run.previous_file.exists()  # which was of the training before
    assert train_run(run, run.config()).status == "finished"
    assert run.metrics_file.read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(step=-5), "step: expected a number from 0 to 60, found -5"),
        (lambda state: state.update(step=10**9), "found 1000000000"),
        (lambda state: state.update(step=True), "found True"),
        (lambda state: state.update(step=44), "does not have the run's rows"),
        (lambda state: state.update(weights={}), "weights: expected"),
        (lambda state: state["weights"].update(embed=torch.zeros(1)), r"weights\.embed: expected"),
        (lambda state: state["weights"].update(embed="x"), r"weights\.embed: expected"),
        (lambda state: state.update(optimizer=[1, 2]), "optimizer: expected"),
        (lambda state: state["optimizer"]["m"].pop(), r"optimizer\.m: expected"),
        (lambda state: state.update(phases={"memorised": 1}), "phases: expected"),
        (lambda state: state["phases"].update(memorised=10**6), r"phases\.memorised: 1000000"),
        (lambda state: state["phases"].update(_test_accuracy="x"), r"phases\._test_accuracy"),
        (lambda state: state.update(columns=7), "columns are no list"),
        (lambda state: state.update(metrics_bytes=-1), "no number"),
        (lambda state: state.update(last={"a": "b"}), "newest values"),
        (lambda state: state.update(identity={"model": 7}), "settings are not valid"),
        (lambda state: state.pop("last"), "not a resume state"),
    ],
)
def test_state_of_wrong_content_is_refused(
    run: RunDir, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    state = torch.load(run.resume_file)
    change(state)
    save_tensors(run.resume_file, state)
    run.previous_file.unlink()
    before = run.metrics_file.read_bytes()
    with pytest.raises(GrokError, match=message):
        train_run(run, run.config())
    assert run.metrics_file.read_bytes() == before


def rewritten(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = torch.load(file)
    change(content)
    save_tensors(file, content)
    return file


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["config"]["model"].update(d_model=4096),
        lambda content: content["config"]["model"].update(n_layers=500),
        lambda content: content["weights"].update(embed=torch.zeros(1).expand(10**6, 10**6)),
        lambda content: content["weights"].update(embed=7),
        lambda content: content.update(step=10**9),
        lambda content: content.update(step="x"),
        lambda content: content.update(config=[1]),
        lambda content: content.update(weights=[1]),
    ],
)
def test_snapshot_that_claims_what_it_does_not_hold_is_refused(
    run: RunDir, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(CheckpointError):
        load_snapshot(rewritten(run.snapshot_file(20), change))


def test_compressed_records_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for record in plain.infolist():
            bomb.writestr(record.filename, plain.read(record))
    with pytest.raises(CheckpointError, match="compressed"):
        load_tensors(tmp_path / "bomb.pt")


def test_content_that_holds_itself_is_read_to_an_end(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    torch.save(endless, tmp_path / "x.pt")
    assert isinstance(load_tensors(tmp_path / "x.pt"), list)


def test_no_warning_without_damage(run: RunDir) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train_run(run, run.config()).status == "finished"

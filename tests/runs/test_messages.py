"""What users read, word for word: what was wrong, what was expected, and what to do next."""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from grok_cli.errors import GrokWarning
from grok_cli.runs import tensor_files
from grok_cli.runs.branching import branch_config
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.claim import Claim, process_identity
from grok_cli.runs.directory import RunDir, check_name, create_run, find_snapshots
from grok_cli.runs.launch import train_run
from grok_cli.runs.measured import read_measured
from grok_cli.runs.measuring import measure_snapshots, subject_at
from grok_cli.runs.relatives import check_step, find_run, step_of
from grok_cli.runs.states import rows_until
from grok_cli.runs.tensor_files import load_tensors, save_tensors
from tests.conftest import said, small_config, stopped_run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that was stopped after 25 steps, with states of steps 20 and 25."""
    return stopped_run(tmp_path_factory.mktemp("runs") / "stopped", after=25)


@pytest.fixture
def run(stopped: RunDir, tmp_path: Path) -> RunDir:
    return RunDir(shutil.copytree(stopped.path, tmp_path / "my run"))


def test_a_directory_that_is_no_run(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    place = run.path / "nothing"
    none = f"{place} is not a run directory: it has no config.yaml"
    assert said(RunDir(place).config) == none
    place.mkdir()
    assert said(RunDir(place).config) == none
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (place, os.X_OK))
    assert said(RunDir(place).config) == f"{place} cannot be looked into: permission denied"


def test_a_configuration_that_was_edited(run: RunDir) -> None:
    file = run.config_file
    content = yaml.safe_load(file.read_text())

    def refusal(changed: dict[str, Any]) -> str:
        file.write_text(yaml.safe_dump(content | changed))
        return said(run.check_identity)

    assert refusal({"train": content["train"] | {"seed": -1}}) == (
        f"{file}: train.seed: expected greater than or equal to 0, found -1"
    )
    assert refusal({"train": content["train"] | {"seed": 7, "steps": 80}}) == (
        f"{file} is not what this run was started with: train.seed: 7, and was 456; train.steps: "
        "80, and was 60 (by environment.json); put that back, or start a new run with `grok train`"
    )
    run.environment_file.unlink()
    assert said(lambda: train_run(run, run.config())) == (
        f"{file} is not what this run was started with: train.seed: 7, and was 456; train.steps: "
        "80, and was 60 (by resume.pt); put that back, or start a new run with `grok train`"
    )
    del content["opt"]
    assert refusal({}) == f"{file} is damaged: it does not state all sections"


def test_a_run_in_the_way_of_another(run: RunDir) -> None:
    assert said(lambda: create_run(run.path, small_config())) == (
        f"{run.path} holds a run already (interrupted); go on with `grok train --resume "
        f"'{run.path}'`, or choose another --name"
    )
    run.summary_file.write_text('{"status": "diverged"}')
    assert said(lambda: create_run(run.path, small_config())) == (
        f"{run.path} holds a run already (diverged); choose another --name"
    )


def test_a_name_that_is_none() -> None:
    assert said(lambda: check_name("a/b")) == (
        "--name 'a/b': expected the plain name of a directory, such as my-run: no slash, no hyphen "
        "in front, no control characters; --runs-dir says where it is made"
    )
    assert check_name(255 * "x")
    assert said(lambda: check_name(256 * "x")).startswith("--name 'xxx")


def test_what_holds_no_snapshot_beside_what_does(run: RunDir) -> None:
    other = run.path.parent / "notes.txt"
    other.touch()
    with pytest.warns(GrokWarning) as warned:
        assert find_snapshots([str(other), str(run.path)]) == run.snapshots()
    assert [str(w.message) for w in warned] == [f"{other}: no snapshot there; left out"]
    (run.path.parent / "sub").mkdir()
    empty = [str(run.path.parent / "sub"), str(other)]
    assert said(lambda: find_snapshots(empty)) == (
        f"{' '.join(empty)}: no snapshot there; expected a snapshot file, a run directory or a "
        "glob (`grok runs DIR` lists runs)"
    )


def test_a_run_that_another_process_trains(tmp_path: Path) -> None:
    owner = process_identity() | {"host": "elsewhere", "pid": 7, "token": "x"}
    (tmp_path / "claim.json").write_text(json.dumps(owner))
    claim = Claim(tmp_path)
    assert said(claim.__enter__) == (
        f"{tmp_path} is being trained by process 7 on elsewhere; wait for it, or stop it first"
    )
    assert said(lambda: step_of(0, RunDir(tmp_path))) == (
        f"{tmp_path} is being trained by process 7 on elsewhere; a branch leaves a run that nobody "
        "trains: wait for it, or stop it first"
    )


def test_a_directory_that_cannot_be_written(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", "draft", None, "other")

    monkeypatch.setattr(os, "link", full)
    assert said(lambda: train_run(run, run.config())) == (
        f"cannot write {run.path}/claim.json: No space left on device; what was recorded is safe. "
        f"Mend that, then go on with `grok train --resume '{run.path}'`"
    )


def test_a_state_that_cannot_be_used(run: RunDir) -> None:
    save_tensors(run.resume_file, [1])
    with pytest.warns(GrokWarning) as warned:
        train_run(run, run.config(), should_stop=lambda: True)
    assert [str(w.message) for w in warned] == [
        f"{run.resume_file}: not a resume state; going on from the state before it, of step 20"
    ]
    assert load_tensors(run.resume_file)["step"] == 21
    for file in (run.resume_file, run.previous_file):
        save_tensors(file, [1])
    assert said(lambda: train_run(run, run.config())) == (
        f"{run.resume_file}: not a resume state; to train this run from step 0 again, delete "
        f"{run.resume_file}"
    )


def test_values_in_a_state_that_are_none(run: RunDir) -> None:
    state = torch.load(run.resume_file)
    run.previous_file.unlink()

    def refusal(**changes: object) -> str:
        save_tensors(run.resume_file, state | changes)
        return said(lambda: train_run(run, run.config()))

    again = f"; to train this run from step 0 again, delete {run.resume_file}"
    for changes, problem in (
        ({"columns": [1]}, "its columns are no list of names"),
        ({"metrics_bytes": -1}, "its size of metrics.csv or its time is no number"),
        ({"metrics_bytes": 1.0}, "its size of metrics.csv or its time is no number"),
        ({"seconds": -1.0}, "its size of metrics.csv or its time is no number"),
        ({"seconds": 1}, "its size of metrics.csv or its time is no number"),
        ({"last": []}, "its newest values are no numbers"),
        ({"last": {"a": True}}, "its newest values are no numbers"),
    ):
        assert refusal(**changes) == f"{run.resume_file}: damaged: {problem}{again}"
    assert refusal(identity={"model": 7}) == (
        f"{run.resume_file}: damaged: its settings are not valid{again}"
    )
    assert refusal(metrics_bytes=10**6) == f"{run.metrics_file} lacks rows that the run had{again}"
    assert refusal(columns=["a"]) == f"{run.metrics_file} does not have the run's columns{again}"
    shorter = state["metrics_bytes"] - 1
    assert refusal(metrics_bytes=shorter) == (
        f"{run.metrics_file} does not have the run's rows{again}"
    )


def test_a_file_of_tensors_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.pt"
    refusal = partial(said, lambda: load_tensors(file))
    assert refusal() == f"{file}: no such file"
    file.write_bytes(b"x")
    assert refusal() == f"{file}: truncated, or not a PyTorch file"
    save_tensors(file, {"a": torch.zeros(2)})
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert refusal() == f"{file}: damaged: its checksum is not that of its content"
    torch.save({"a": print}, file)
    assert refusal() == (
        f"{file}: damaged, or holds objects other than tensors, which could run code; refused"
    )
    torch.save({"a": torch.zeros(1).expand(10)}, file)
    assert refusal() == f"{file}: claims tensors that are larger than what it holds; refused"
    torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    assert refusal() == f"{file}: truncated, or not a PyTorch file"
    monkeypatch.setattr(tensor_files, "MOST_BYTES", 2**30)
    os.truncate(file, 2**30 + 1)
    assert refusal() == f"{file}: larger than 1 GiB; refused"


def test_a_snapshot_that_cannot_be_used(run: RunDir) -> None:
    file = run.snapshot_file(20)
    content = torch.load(file)

    def refusal(**changes: object) -> str:
        save_tensors(file, content | changes)
        return said(lambda: load_snapshot(file))

    config, weights = content["config"], content["weights"]
    wrong = config | {"model": config["model"] | {"n_heads": 3}}
    assert refusal(config=[1]) == f"{file}: damaged: its configuration has no sections"
    assert refusal(step=-1) == f"{file}: damaged: its step is none of its run's"
    assert refusal(weights=weights | {"embed": torch.zeros(14, 8)}) == (
        f"{file}: its weights do not fit the model that its configuration describes"
    )
    assert refusal(config=wrong) == (
        f"{file}: its configuration is not valid: model.n_heads: 3 heads do not divide d_model = "
        "16; expected a divisor of model.d_model"
    )
    save_tensors(file, {"weights": weights})
    assert said(lambda: load_snapshot(file)) == (
        f"{file}: not a snapshot of this program (no step, config, weights)"
    )


def test_a_snapshot_that_is_another_runs(run: RunDir) -> None:
    file, content = run.snapshot_file(20), torch.load(run.snapshot_file(20))
    content["config"]["train"]["seed"] = 7
    save_tensors(file, content)
    message = (
        f"{file}: a snapshot of other settings than the run's config.yaml has: train.seed: 456, "
        "and was 7; put the right file there, or measure it elsewhere"
    )
    assert said(lambda: list(measure_snapshots([file], ["margin"]))) == message
    damaged: list[str] = []
    files = [run.snapshot_file(0), file, file]
    assert len(list(measure_snapshots(files, ["margin"], damaged))) == 1
    assert damaged == [message]


def test_a_snapshot_that_is_not_there(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert said(lambda: subject_at(tmp_path / "empty")) == (
        f"{tmp_path}/empty: no snapshot there; `grok runs` lists runs"
    )
    assert said(lambda: subject_at(tmp_path / "x.pt")) == (
        f"{tmp_path}/x.pt: no such file; expected a snapshot or a run's directory"
    )
    content = torch.load(run.snapshot_file(20))
    content["weights"]["embed"][0, 0] = torch.nan
    save_tensors(run.snapshot_file(20), content)
    assert said(lambda: subject_at(run.path)) == (
        f"{run.snapshot_file(20)}: the run diverged, weights are not finite; take an earlier one"
    )


def test_values_measured_afterwards_that_are_damaged(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    for text in ("step,a\nx,1\n", "step,a\n1,x\n", "a\n1\n", "step,a\n1,2,3\n"):
        file.write_text(text)
        assert said(lambda: read_measured(file)) == (
            f"{file}: damaged; delete it, and measure again with `grok measure`"
        )


def test_a_run_that_is_not_found(run: RunDir) -> None:
    roots = [run.path.parent, run.path / "none"]
    where = f"{roots[0]}, {roots[1]}"
    assert said(lambda: find_run("my rnu", roots)) == (
        f"my rnu: no run of that path, name or digest in {where}; did you mean my run?"
    )
    assert said(lambda: find_run("zzz", roots)) == (
        f"zzz: no run of that path, name or digest in {where}; `grok runs` lists runs"
    )
    assert said(lambda: find_run("no/where", roots)) == (
        "no/where is not a run directory: it has no config.yaml"
    )


def test_a_step_that_is_not_there(run: RunDir) -> None:
    assert said(lambda: step_of("generalised+5", run)) == (
        f"{run.path} has not generalised (it is at step 25); expected a step as a number, or a run "
        "that has"
    )
    assert said(lambda: rows_until(run, 26)) == (
        f"{run.path} has no step 26: its rows end with step 25; expected a step that was trained"
    )
    late = branch_config(small_config(), 26, {})
    assert said(lambda: check_step(run, late)) == (
        f"{run.path} has no step 26: it was trained up to step 25; expected at most that"
    )
    run.summary_file.write_text('{"status": "interrupted", "step": 25, "memorised_at": 24}')
    short = branch_config(small_config(), "memorised+1", {"train.steps": 24})
    assert said(lambda: check_step(run, short)) == (
        f"train.steps: 24 is less than step 25, at which the branch leaves {run.path}; expected "
        "more"
    )


def test_a_change_that_a_branch_cannot_make() -> None:
    assert said(lambda: branch_config(small_config(), 0, {"train.seed": 1})) == (
        "train.seed: decides the first weights in a run, and a branch has those of its parent; "
        "expected 456 as there, or a run of its own by `grok train`"
    )

"""A run goes on as what it began as, or not at all."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from grok_cli.core.config import digest_of
from grok_cli.errors import UsageError
from grok_cli.runs.directory import RunDir, RunDirectoryError, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.relatives import digests
from grok_cli.runs.tensor_files import save_tensors
from tests.conftest import small_config


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    config = small_config(measure__diagnostics={"rank": 20})
    run = create_run(tmp_path_factory.mktemp("runs") / config.run_name(), config)
    steps = iter(range(100))
    train_run(run, config, should_stop=lambda: next(steps) == 44)
    return run


@pytest.fixture
def run(stopped: RunDir, tmp_path: Path) -> RunDir:
    return RunDir(shutil.copytree(stopped.path, tmp_path / stopped.path.name))


def edit(run: RunDir, section: str, key: str, value: object) -> None:
    content = yaml.safe_load(run.config_file.read_text())
    content[section][key] = value
    run.config_file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("opt", "learning_rate", 0.5),
        ("train", "seed", 7),
        ("train", "steps", 100),
        ("model", "ln_type", "pre"),
    ],
)
def test_edited_settings_are_refused_by_name(
    run: RunDir, section: str, key: str, value: object
) -> None:
    edit(run, section, key, value)
    before = run.metrics_file.read_bytes()
    with pytest.raises(UsageError, match=rf"{section}\.{key}: {value!r}, and was ") as caught:
        train_run(run, run.config())
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=rf"{section}\.{key}: {value!r}, and was "):
        run.check_identity()
    assert run.metrics_file.read_bytes() == before


def test_state_of_an_earlier_version_is_checked_by_the_first_snapshot(run: RunDir) -> None:
    state = torch.load(run.resume_file)
    del state["identity"], state["diagnostics"]
    save_tensors(run.resume_file, state)
    edit(run, "opt", "weight_decay", 0.25)
    with pytest.raises(UsageError, match=r"opt\.weight_decay: 0\.25, and was 1\.0"):
        train_run(run, run.config())


def test_where_it_runs_may_change(run: RunDir) -> None:
    edit(run, "run", "save_every", 7)
    run.check_identity()
    assert train_run(run, run.config()).status == "finished"


def test_name_of_other_settings_is_noticed(run: RunDir) -> None:
    run.environment_file.unlink()
    run.check_identity()
    edit(run, "opt", "learning_rate", 0.5)
    with pytest.raises(RunDirectoryError, match="digest"):
        run.check_identity()


def test_name_by_fewer_settings_is_no_edit(run: RunDir) -> None:
    """A setting that came later is not in the digest that an earlier version named a run by."""
    content = yaml.safe_load(run.config_file.read_text())
    del content["train"]["loss_dtype"]
    run.config_file.write_text(yaml.safe_dump(content))
    run.environment_file.unlink()
    stated = run.config().identity()
    del stated["train"]["loss_dtype"]
    earlier = RunDir(run.path.rename(run.path.with_name(f"add-off-s456-{digest_of(stated)}")))
    config = small_config(measure__diagnostics={"rank": 20})
    assert earlier.check_identity() == config
    assert digests(earlier) == {config.digest(), digest_of(stated)}  # it is found by either
    assert digests(RunDir(earlier.path.rename(earlier.path.with_name("mine")))) == {config.digest()}


@pytest.mark.parametrize("diagnostics", [{}, {"margin": 20}, {"rank": 20, "margin": 20}])
def test_other_diagnostics_never_come_under_old_titles(
    run: RunDir, diagnostics: dict[str, int]
) -> None:
    edit(run, "measure", "diagnostics", diagnostics)
    with pytest.raises(UsageError, match=r"measure\.diagnostics: .* measures rank since"):
        train_run(run, run.config())


def test_same_diagnostics_with_more_columns_keep_those_of_the_run(run: RunDir) -> None:
    """As under a later version, whose diagnostics may give further metrics."""
    rows = run.metrics_file.read_text().splitlines()
    state = torch.load(run.resume_file)
    gone = len(state["columns"]) - 1
    cut = "".join(",".join(row.split(",")[:gone]) + "\n" for row in rows)
    state["columns"] = state["columns"][:gone]
    state["metrics_bytes"] = len(cut)
    run.metrics_file.write_text(cut)
    save_tensors(run.resume_file, state)
    assert train_run(run, run.config()).status == "finished"
    lines = run.metrics_file.read_text().splitlines()
    assert len(lines) == 61
    assert {line.count(",") for line in lines} == {gone - 1}

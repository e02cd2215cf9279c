"""Facts of run directories, settings and files: where things are found, and what is said."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from grok_cli.core.initial import initial_model
from grok_cli.core.training import Outcome
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs import files
from grok_cli.runs.branching import _frequencies, branch_config, create_branch, plan_branch
from grok_cli.runs.checkpoints import load_snapshot, save_snapshot
from grok_cli.runs.directory import RunDir, RunDirectoryError, find_runs, find_snapshots
from grok_cli.runs.files import last_lines, read_json, write_output
from grok_cli.runs.launch import train_run
from grok_cli.runs.measured import add_measured, read_measured
from grok_cli.runs.recorder import RunRecorder
from grok_cli.runs.relatives import find_relative, find_run
from grok_cli.runs.settings import SettingsError, flatten, layer, load_config
from grok_cli.runs.states import Rows, rows_until
from grok_cli.runs.tensor_files import CheckpointError, load_tensors, save_tensors
from grok_cli.runs.yaml_text import MOST_LEVELS, YamlError, parse_yaml
from tests.conftest import small_config, small_run


def test_runs_are_found_in_folders_of_folders_each_once(tmp_path: Path) -> None:
    for name in ("b/two", "a/deep/one", "a/deep/er/zero", "c"):
        small_run(tmp_path / name)
    small_run(tmp_path / "c" / "within")  # a run's own directory is not looked into
    (tmp_path / "a" / "again").symlink_to(tmp_path / "b" / "two")
    outside = small_run(tmp_path.with_name(f"{tmp_path.name}-outside") / "run").path
    for link in ("d", "e"):
        (tmp_path / link).symlink_to(outside)
    found = [str(run.path.relative_to(tmp_path)) for run in find_runs(tmp_path)]
    assert found == ["a/deep/er/zero", "a/deep/one", "b/two", "c", "d"]


def test_snapshots_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    run.snapshots_dir.mkdir()
    for step in (1_000_000, 20, 3):
        run.snapshot_file(step).touch()
    steps = ["step_000003.pt", "step_000020.pt", "step_1000000.pt"]
    for place in (tmp_path, run.path, run.snapshots_dir):
        assert [file.name for file in find_snapshots([str(place)])] == steps
    with pytest.raises(UsageError) as caught:
        find_snapshots([str(tmp_path / "none")])
    assert str(caught.value) == (
        f"{tmp_path}/none: no snapshot there; expected a snapshot file, a run directory or a glob "
        "(`grok runs DIR` lists runs)"
    )


def test_snapshots_of_several_runs_come_each_once(tmp_path: Path) -> None:
    runs = [small_run(tmp_path / name) for name in ("b[1]", "a")]
    for run in runs:
        run.snapshots_dir.mkdir()
        run.snapshot_file(20).touch()
    b, a = (run.snapshot_file(20) for run in runs)
    assert find_snapshots([str(runs[0].path), str(runs[1].path), str(b)]) == [b, a]
    assert find_snapshots([f"{tmp_path}/*"]) == [a, b]
    assert find_snapshots([f"{runs[0].path}/*/*.pt"]) == [
        b
    ]  # brackets of what is there are its own


def test_a_run_in_which_nothing_was_trained_is_new_also_with_a_damaged_record(
    tmp_path: Path,
) -> None:
    run = small_run(tmp_path)
    for text in (None, "{", "[]"):
        if text is not None:
            run.summary_file.write_text(text)
        assert run.recorded_summary() == run.summary() == {"status": "new"}
    run.resume_file.touch()
    assert run.recorded_summary() == run.summary() == {"status": "interrupted"}


def test_a_branch_at_the_start_goes_on_from_the_header_alone(tmp_path: Path) -> None:
    run, header = small_run(tmp_path), "step,a\n"
    recorder = RunRecorder(run, small_config())
    state = {"columns": ["step", "a"], "last": {}, "seconds": 0.0, "step": 0}
    run.metrics_file.write_text(f"{header}1,2\n")
    for wrong in (len(header) - 1, len(header) + 2, len(header) + 4):
        with pytest.raises(GrokError, match="does not have the run's rows"):
            recorder.resume(state | {"metrics_bytes": wrong})
    recorder.resume(state | {"metrics_bytes": len(header)})
    assert run.metrics_file.read_text() == header


def test_a_directory_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        small_run(tmp_path / "file" / "run")
    why = os.strerror(errno.ENOTDIR)
    assert str(caught.value) == (
        f"cannot make {tmp_path}/file/run: {why}; choose another --runs-dir"
    )


def test_a_link_whose_run_is_gone_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(RunDirectoryError) as caught:
        RunDir(tmp_path / "link").config()
    assert str(caught.value) == (
        f"{tmp_path}/link is a link to gone, where no run is any more; put the run back there, or "
        "delete the link, and `grok sweep` trains the run here"
    )


def test_a_name_of_other_settings_says_both_digests(tmp_path: Path) -> None:
    config = small_config()
    run = small_run(tmp_path / f"{config.run_name()[:-10]}0123456789")
    with pytest.raises(RunDirectoryError) as caught:
        run.check_identity()
    assert str(caught.value) == (
        f"{run.config_file} was edited: its settings have the digest {config.digest()}, the "
        "directory's name says 0123456789; put the settings back, or rename the directory"
    )


def test_a_parent_is_found_beside_and_one_folder_further(tmp_path: Path) -> None:
    parent, branch = (
        small_run(tmp_path / "a" / "parent"),
        small_run(tmp_path / "b" / "branch", train__seed=1),
    )
    digest = small_config().digest()
    assert find_relative(branch, digest).path == parent.path
    beside = small_run(tmp_path / "b" / "beside")
    assert find_relative(branch, digest).path == beside.path
    branch.origin_file.write_text(json.dumps({"places": {"unknown": "../gone"}}))
    with pytest.raises(UsageError) as caught:
        find_relative(branch, "unknown")
    assert str(caught.value) == (
        f"{branch.path}: the run unknown, from which it is made, is not there any more. It was at "
        f"{tmp_path}/b/gone. Put it back, or beside {branch.path}"
    )


def test_a_branch_is_described_by_what_it_changes_and_where_its_relatives_are(
    tmp_path: Path,
) -> None:
    parent = small_run(tmp_path / "a" / "parent", wandb__name="n", wandb__group="g")
    donor = small_run(tmp_path / "donor", train__seed=1)
    changes = {"branch.transplant": ["mlp"], "opt.learning_rate": 0.5, "train.steps": 20}
    config = plan_branch(parent, 0, changes, "x", donor)
    digests = [run.config().digest() for run in (parent, donor)]
    assert [config.branch.parent, config.branch.donor] == digests
    assert config.branch.was == {"opt.learning_rate": 0.001}  # the last step is told by itself
    assert (config.wandb.name, config.wandb.group, config.train.steps) == (None, "g", 20)
    run = create_branch(tmp_path / "b" / "c" / "branch", config, parent, donor)
    places = dict(zip(digests, ("../../../a/parent", "../../../donor"), strict=True))
    assert json.loads(run.origin_file.read_text()) == {"places": places}


@pytest.mark.parametrize("p", [7, 8])
def test_frequencies_of_a_branch_are_those_named_or_the_embeddings_own(p: int) -> None:
    angles = 2 * torch.pi * torch.arange(p)[:, None] * torch.tensor([2.0, 3.0]) / p
    table = torch.cat([angles.cos(), angles.sin()], dim=1)

    def found(which: list[int], frequencies: str = "only") -> list[int]:
        changes = {"branch.frequencies": frequencies, "branch.which_frequencies": which}
        return _frequencies(branch_config(small_config(), 0, changes), table)

    assert sorted(found([])) == [2, 3]
    assert found([1, p // 2]) == [1, p // 2]
    assert _frequencies(branch_config(small_config(), 0, {}), table) == []  # of all
    with pytest.raises(UsageError, match=rf"{p // 2 + 1}: expected 1 to {p // 2}, half of"):
        found([1, p // 2 + 1], "without")


def test_a_branch_leaves_at_a_step_that_there_was_and_not_behind_its_end(tmp_path: Path) -> None:
    parent = small_run(tmp_path / "parent")
    summary = {"status": "finished", "step": 30, "memorised_at": 28}
    parent.summary_file.write_text(json.dumps(summary))
    for at, steps in ((30, 60), (30, 30), ("memorised+2", 30), (0, 20)):
        plan_branch(parent, at, {"train.steps": steps}, "x")
    for late in (31, "memorised+3"):
        with pytest.raises(UsageError, match="has no step 31: it was trained up to step 30"):
            plan_branch(parent, late, {}, "x")
    with pytest.raises(UsageError, match="29 is less than step 30, at which the branch leaves"):
        plan_branch(parent, "memorised+2", {"train.steps": 29}, "x")


def test_rows_that_are_not_what_their_header_says_are_damaged(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    for text, lines in (("step,a\n1,0.5\n2,\n3,1", ("1,0.5", "2,")), ("step,a\n1,2\n", None)):
        run.metrics_file.write_text(text)
        if lines is None:
            with pytest.raises(UsageError, match="has no step 2: its rows end with step 1;"):
                rows_until(run, 2)
        else:
            assert rows_until(run, 2) == Rows(("step", "a"), lines)
    with pytest.raises(UsageError, match="has no step 1: its rows end with step 0;"):
        rows_until(small_run(tmp_path / "new"), 1)
    for text in ("step,a\n1,0.5\n3,1\n", "step,a\n1,0.5\n2\n", "a,step\n1,1\n2,2\n"):
        run.metrics_file.write_text(text)
        with pytest.raises(GrokError, match="is damaged: a row is not what its header says"):
            rows_until(run, 2)


def test_a_finished_run_is_told_as_it_ended_and_not_trained_again(tmp_path: Path) -> None:
    run, config = small_run(tmp_path), small_config()
    for summary in ({"status": "finished"}, {"status": "diverged", "message": "at step 3"}):
        run.summary_file.write_text(json.dumps(summary))
        outcome = train_run(run, config)
        assert (outcome.status, outcome.message) == (summary["status"], summary.get("message", ""))
    assert not run.metrics_file.exists()


def test_a_run_cannot_change_what_it_measures(tmp_path: Path) -> None:
    wanted = {"margin": 10, "rank": 10}
    begun = small_config(train__steps=20, measure__diagnostics=wanted)
    run = small_run(tmp_path, train__steps=20, measure__diagnostics=wanted)
    train_run(run, begun, should_stop=lambda: True)
    other = begun.model_copy(
        update={"measure": begun.measure.model_copy(update={"diagnostics": {}})}
    )
    with pytest.raises(UsageError) as caught:
        train_run(run, other)
    assert str(caught.value) == (
        f"measure.diagnostics: {tmp_path} measures margin, rank since it began and cannot change "
        "to none; others are computed afterwards, from its snapshots, by `grok measure`"
    )


def test_a_branch_that_is_stopped_before_it_began_says_so(tmp_path: Path) -> None:
    parent = small_run(tmp_path / "parent", train__steps=20)
    train_run(parent, parent.config())
    config = plan_branch(parent, 5, {}, "x")
    branch = create_branch(tmp_path / "branch", config, parent)
    outcome = train_run(branch, config, should_stop=lambda: True)
    assert outcome == Outcome("interrupted", "interrupted before the branch had begun")
    assert {path.name for path in branch.path.iterdir()} == {"config.yaml", "origin.json"}
    train_run(branch, config)
    assert {path.name for path in branch.path.iterdir()} == {
        *("config.yaml", "environment.json", "metrics.csv", "origin.json", "resume.pt"),
        *("resume.previous.pt", "snapshots", "states", "summary.json"),
    }
    origin = json.loads(branch.origin_file.read_text())
    assert set(origin) == {"places", "step", "state_of_step", "engine", "kernels", "device"}


def test_a_run_of_before_there_was_a_choice_of_draws_has_those_of_then(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    content = yaml.safe_load(run.config_file.read_text())
    assert content["model"].pop("init_draws") == run.config().model.init_draws
    run.config_file.write_text(yaml.safe_dump(content))
    assert run.config().model.init_draws == "cpu"
    assert run.config().model.d_model == 16


def test_a_snapshot_of_before_there_was_a_choice_of_draws_has_those_of_then(tmp_path: Path) -> None:
    config, file = small_config(), tmp_path / "step_000007.pt"
    save_snapshot(file, 7, config, initial_model(config, 14))
    found = load_snapshot(file)
    assert (found.step, found.config) == (7, config)
    content = load_tensors(file)
    del content["config"]["model"]["init_draws"]
    save_tensors(file, content)
    assert load_snapshot(file).config.model.init_draws == "cpu"
    for step in (-1, 61, 7.0):
        save_tensors(file, content | {"step": step})
        with pytest.raises(CheckpointError, match="its step is none of its run's"):
            load_snapshot(file)


def test_the_newest_value_of_a_metric_is_its_last_by_its_present_name() -> None:
    rows = Rows(("step", "a", "attention/attn_out_eff_rank"), ("1,0.5,2.0", "2,,3.0", "3,0.25,"))
    newest = {"step": 3.0, "a": 0.25, "attention/answer_out_effective_rank": 3.0}
    assert rows.newest() == newest
    assert Rows(("step", "a"), ("1,",)).newest() == {"step": 1.0}


def test_values_measured_afterwards_stand_in_order_under_their_present_names(
    tmp_path: Path,
) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("step,attention/attn_out_eff_rank\n20,2.5\n")
    add_measured(file, {3: {"attention/answer_out_effective_rank": 1.5}, 20: {"a": -1.0}})
    assert file.read_text().splitlines() == [
        *("step,attention/answer_out_effective_rank,a", "3,1.5,", "20,2.5,-1.0")
    ]
    assert read_measured(tmp_path / "none.csv") == {}


def test_a_name_means_the_run_that_is_called_so_and_one_run_only(tmp_path: Path) -> None:
    digest = small_config().digest()
    plain, other = (
        small_run(tmp_path / "a" / "plain"),
        small_run(tmp_path / "b" / "other", train__seed=1),
    )
    roots = [tmp_path / "a", tmp_path / "b"]
    assert find_run(digest, roots).path == plain.path
    (tmp_path / "b" / "plain").symlink_to(plain.path)  # the same run
    assert find_run("plain", roots).path.samefile(plain.path)
    called = other.path.rename(other.path.with_name(digest))
    assert find_run(digest, roots).path == called
    small_run(tmp_path / "a" / digest, train__seed=2)
    with pytest.raises(UsageError) as caught:
        find_run(digest, roots)
    assert str(caught.value) == (
        f"{digest}: several runs are called so: {tmp_path}/a/{digest}, {called}; expected one of "
        "them"
    )


def test_columns_of_a_state_are_a_list_of_names(tmp_path: Path) -> None:
    recorder = RunRecorder(RunDir(tmp_path), small_config())
    for columns in (None, "step", ["step", 5]):
        with pytest.raises(ValueError, match=r"^its columns are no list of names$"):
            recorder.resume({"columns": columns, "metrics_bytes": 0, "last": {}, "seconds": 0.0})


def test_a_hyphen_is_the_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    write_output(Path("-"), "text\n")
    assert capfd.readouterr().out == "text\n"
    assert not Path("-").exists()


def test_a_file_of_facts_that_is_too_large_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "summary.json"
    file.write_text('{"a": 1}')
    assert read_json(file) == {"a": 1}
    monkeypatch.setattr(files, "MOST_JSON", 8)
    assert read_json(file) == {"a": 1}
    monkeypatch.setattr(files, "MOST_JSON", 7)
    assert read_json(file) is None


def test_the_end_of_a_log_is_its_last_lines_that_are_not_empty(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert last_lines(log, 2) == []
    log.write_text("a" * 20_000 + "\none  \n\ntwo\n  \nthree\n\n")
    assert last_lines(log, 1) == ["three"]
    assert last_lines(log, 3) == ["one", "two", "three"]


def test_settings_stand_in_sections_or_under_their_whole_name(tmp_path: Path) -> None:
    assert flatten({"train": {"seed": 5}, "opt.eps": 0.1}, "x") == {"train.seed": 5, "opt.eps": 0.1}
    values, origin = layer(None, {}, ["wandb.name=a=b"])
    assert (values, origin) == ({"wandb.name": "a=b"}, {"wandb.name": "--set"})
    file = tmp_path / "my sweep.yaml"
    file.write_text("grid: {model.ln_type: [pre]}\n")
    with pytest.raises(SettingsError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f"{file} is a sweep file: `grok sweep '{file}'` runs it; expected the settings of one run"
    )


def test_lists_may_be_fifty_deep_and_no_deeper() -> None:
    assert MOST_LEVELS == 50
    value = parse_yaml("[" * 50 + "]" * 50)
    for _ in range(49):
        (value,) = value
    assert value == []
    with pytest.raises(YamlError, match="nested more than 50 levels deep"):
        parse_yaml("[" * 51 + "]" * 51)


def test_tensors_within_lists_and_mappings_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    save_tensors(file, {"a": [{"b": torch.zeros(2)}]})
    assert load_tensors(file)["a"][0]["b"].tolist() == [0, 0]
    torch.save({"a": [{"b": torch.zeros(1).expand(10**6)}]}, file)
    with pytest.raises(CheckpointError, match="claims tensors that are larger than what it holds"):
        load_tensors(file)

"""The state of a run at any step: which are kept, and what is replayed from them."""

from pathlib import Path

import pytest

from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.branching import branch_config, create_branch
from grok_cli.runs.launch import train_run
from grok_cli.runs.relatives import step_of
from grok_cli.runs.states import trainer_at
from grok_cli.runs.tensor_files import load_tensors, save_tensors
from tests.branches import branched, same, trained


def test_states_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", run__state_every=10, run__state_at=[7])
    assert sorted(file.name for file in run.states_dir.iterdir()) == [
        f"step_{step:06d}.pt" for step in (7, 10, 20, 30)
    ]
    for step, start in ((9, 7), (10, 10), (26, 22), (21, 20), (3, 0)):
        found = trainer_at(run, run.config(), step)
        assert found is not None
        assert (found[0].step, found[1]) == (step, start)


def test_a_state_that_cannot_be_used_gives_way_to_the_one_before_it(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", run__state_every=10)
    sound = load_tensors(run.state_file(10))

    def start() -> int | None:
        found = trainer_at(run, run.config(), 15)
        return found and found[1]

    assert start() == 10
    run.state_file(10).write_bytes(b"nothing")
    assert start() == 0
    without = {key: value for key, value in sound.items() if key != "phases"}
    for unusable in (
        sound | {"step": 11},  # another step than its name says
        sound | {"step": -1},
        sound | {"weights": {}},
        sound | {"optimizer": None},
        without,
        [sound],
    ):
        save_tensors(run.state_file(10), unusable)
        assert start() == 0
    save_tensors(run.state_file(10), sound)
    assert start() == 10


def test_steps_that_come_out_otherwise_are_refused(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent")
    sound = parent.metrics_file.read_text().splitlines(keepends=True)
    config = branch_config(parent.config(), 9, {})
    run = create_branch(tmp_path / "branch", config, parent)
    for name in ("train/loss", "grads/weight_norm", "test/loss"):
        cells = sound[4].rstrip("\n").split(",")
        place = sound[0].rstrip("\n").split(",").index(name)
        cells[place] = repr(float(cells[place]) * (1 + 1e-9))
        parent.metrics_file.write_text("".join([*sound[:4], ",".join(cells) + "\n", *sound[5:]]))
        with pytest.raises(GrokError, match=f"step 4 comes out otherwise here .{name}"):
            train_run(run, config)
        assert not run.resume_file.exists()
    branched(parent, 3, name="sound")  # the steps before are


def test_what_comes_out_otherwise_is_told_with_what_it_was_trained_with(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent", train__eval_every=4)
    sound = parent.metrics_file.read_text().splitlines(keepends=True)
    columns, cells = (sound[i].rstrip("\n").split(",") for i in (0, 2))
    place = columns.index("test/loss")
    computed = columns.index("train/loss")
    assert not cells[place]  # step 2 is not evaluated
    value, cells[computed] = cells[computed], "7.0"
    parent.metrics_file.write_text("".join([*sound[:2], ",".join(cells) + "\n", *sound[3:]]))
    parent.environment_file.write_text('[{"torch": "1.0"}, {"torch": "2.0", "threads": 3}]')

    def refusal() -> str:
        with pytest.raises(GrokError) as caught:
            trainer_at(parent, parent.config(), 9)
        return str(caught.value)

    expected = (
        f"{parent.path}: step 2 comes out otherwise here (train/loss {value}, recorded 7.0), so "
        "that its state cannot be computed again; it was trained with torch 2.0, threads 3. Branch "
        "where it was trained, or from a state that it kept"
    )
    assert refusal() == expected
    parent.environment_file.unlink()
    assert refusal() == expected.replace("torch 2.0, threads 3", "another version")
    cells[computed] = ""
    parent.metrics_file.write_text("".join([*sound[:2], ",".join(cells) + "\n", *sound[3:]]))
    assert "recorded nothing" in refusal()


def test_phases_name_steps(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    run.summary_file.write_text('{"status": "finished", "step": 30, "memorised_at": 8}')
    assert [step_of(at, run) for at in (5, "memorised", "memorised+4", "end")] == [5, 8, 12, 30]
    with pytest.raises(UsageError, match="has not generalised"):
        step_of("generalised", run)


def test_branch_that_is_stopped_while_it_replays_begins_again(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent")
    config = branch_config(parent.config(), 9, {})
    run = create_branch(tmp_path / "branch", config, parent)
    stop = iter([False, False, True])
    assert train_run(run, config, should_stop=lambda: next(stop)).status == "interrupted"
    assert not run.metrics_file.exists()
    assert train_run(run, config).status == "finished"
    assert same(run, parent)

"""Sweeps of branches: parents first, then each of them at each step for each point."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from grok_cli.cli.sweep_view import SweepView
from grok_cli.errors import UsageError
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.settings import SettingsError
from grok_cli.sweeps.drive import Driver, SweepWatcher
from grok_cli.sweeps.plan import PlannedRun, plan_runs, steps_left
from grok_cli.sweeps.spec import spec_of
from grok_cli.sweeps.states import Entry
from tests.conftest import SMALL_FLAGS, small_config
from tests.sweeps.test_drive import ScriptedExecutor

SPEC: dict[str, Any] = {
    "base": {"train.steps": 20, "data.modulus": 7, "model.d_model": 8, "model.n_heads": 2},
    "from": {"grid": {"model.ln_type": ["off", "pre"]}, "at": [5, 10]},
    "grid": {"model.ln_type": ["off", "pre"]},
    "seeds": [1, 2],
}


def planned(directory: Path, **changes: Any) -> list[PlannedRun]:
    return plan_runs(spec_of({**SPEC, **changes}, "spec"), {}, None, directory)


def test_each_parent_is_left_at_each_step_where_something_changes(tmp_path: Path) -> None:
    runs = planned(tmp_path)
    parents = [one for one in runs if not one.relatives]
    assert runs[: len(parents)] == parents
    assert [(p.config.model.ln_type, p.config.train.seed) for p in parents] == [
        ("off", 1),
        ("off", 2),
        ("pre", 1),
        ("pre", 2),
    ]
    assert all(p.config.run.state_at == (5, 10) for p in parents)
    branches = runs[len(parents) :]
    assert len(branches) == 4 * 2  # what changes nothing is left out
    for one in branches:
        (parent,) = (p for p in parents if p.run.path == one.relatives[0].path)
        assert one.config.branch.parent == parent.config.digest()
        assert one.config.branch.was == {"model.ln_type": parent.config.model.ln_type}
        assert one.config.train.seed == parent.config.train.seed
        assert steps_left(one, {"status": "new"}) == 20 - int(one.config.branch.at)


def test_parents_keep_the_states_of_steps_that_are_known_beforehand(tmp_path: Path) -> None:
    at = [0, 5, "memorised", 10]
    runs = planned(tmp_path, **{"from": {"grid": {"model.ln_type": ["off"]}, "at": at}})
    assert {one.config.run.state_at for one in runs if not one.relatives} == {(5, 10)}
    assert {one.config.branch.at for one in runs if one.relatives} == set(at)


def test_what_is_typed_wins_over_the_grid_of_branches(tmp_path: Path) -> None:
    rates = [0.002, 0.003]
    for varied in (
        {"grid": {"opt.learning_rate": rates}},
        {"points": [{"opt.learning_rate": 0.002}]},
    ):
        spec = spec_of({**SPEC, "grid": {}, **varied}, "spec")
        runs = plan_runs(spec, {"opt.learning_rate": 0.005}, None, tmp_path)
        assert {one.config.opt.learning_rate for one in runs} == {0.005}
    grid = spec_of({**SPEC, "grid": {"opt.learning_rate": rates}}, "spec")
    branches = [one for one in plan_runs(grid, {}, None, tmp_path) if one.relatives]
    assert {one.config.opt.learning_rate for one in branches} == set(rates)


@pytest.mark.parametrize("varied", ["grid", "points"])
def test_what_varies_wins_over_the_base_of_branches(varied: str, tmp_path: Path) -> None:
    values = {"grid": {"opt.beta1": [0.5]}, "points": [{"opt.beta1": 0.5}]}
    base = {**SPEC.get("base", {}), "opt": {"beta1": 0.7}}
    spec = spec_of({**SPEC, "grid": {}, "base": base, varied: values[varied]}, "spec")
    runs = plan_runs(spec, {}, None, tmp_path)
    assert {(bool(one.relatives), one.config.opt.beta1) for one in runs} == {
        (False, 0.7),
        (True, 0.5),
    }


def test_weights_come_from_the_next_seed(tmp_path: Path) -> None:
    points = [{"branch.transplant": ["embedding"], "branch.donor": "next"}]
    runs = planned(tmp_path, **{"from": {**SPEC["from"], "at": 0}, "grid": {}, "points": points})
    by_path = {one.run.path: one.config for one in runs}
    for one in runs[4:]:
        parent, donor = (by_path[run.path] for run in one.relatives)
        assert donor.digest() == one.config.branch.donor
        assert donor.model == parent.model
        assert {donor.train.seed, parent.train.seed} == {1, 2}


def test_weights_come_from_the_run_that_is_named(tmp_path: Path) -> None:
    donor = create_run(tmp_path / "donor", small_config(data__modulus=7, model__d_model=8))
    for word in (str(donor.path), donor.config().digest()):
        points = [{"branch.transplant": ["embedding"], "branch.donor": word}]
        runs = planned(tmp_path, **{"grid": {}, "points": points, "seeds": [1]})
        given = [one for one in runs if one.relatives]
        assert given
        for one in given:
            assert one.relatives[1].path == donor.path
            assert one.config.branch.donor == donor.config().digest()


def test_named_runs_are_left(tmp_path: Path) -> None:
    config = small_config(train__steps=20)
    run = create_run(tmp_path / "base" / "r", config)
    train_run(run, config)
    content = {"from": {"run": str(tmp_path / "base"), "at": [5, "memorised"]}}
    spec = spec_of({**content, "grid": {"opt.weight_decay": [1, 0]}}, "spec")
    (one, two) = plan_runs(spec, {}, None, tmp_path / "sweep")
    assert (one.config.branch.at, two.config.branch.at) == (5, "memorised")
    assert one.relatives[0].path == run.path
    one.create()
    assert train_run(one.run, one.config).status == "finished"
    shutil.copytree(one.run.path, tmp_path / "base" / one.name)  # a branch is not left itself
    again = plan_runs(spec, {}, None, tmp_path / "sweep")
    assert [each.run.path for each in again] == [one.run.path, two.run.path]
    with pytest.raises(UsageError, match="seeds of branches are those of the runs they leave"):
        plan_runs(spec, {}, [1], tmp_path / "sweep")


def test_every_run_that_is_named_is_left_once(tmp_path: Path) -> None:
    paths = [
        create_run(tmp_path / name, small_config(train__seed=s)).path
        for s, name in enumerate("abc")
    ]
    named = [str(paths[2]), str(paths[0]), str(paths[2])]
    spec = spec_of({"from": {"run": named, "at": 5}, "base": {"branch.scale": 2}}, "spec")
    runs = plan_runs(spec, {}, None, tmp_path / "sweep")
    assert [one.relatives[0].path for one in runs] == [paths[2], paths[0]]
    assert [one.config.train.seed for one in runs] == [2, 0]


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({"at": [1]}, "expected {run: DIRECTORY"),
        ({"run": "x"}, "expected {run: DIRECTORY"),
        ({"run": "x", "grid": {}, "at": 1}, "expected {run: DIRECTORY"),
        ({"runs": "x", "at": 1}, "did you mean run?"),
        ({"grid": {"model.ln_typ": [1]}, "at": 1}, "unknown key"),
        ({"run": [3], "at": 1}, "expected a run or a list of runs"),
    ],
)
def test_origins_that_mean_nothing_are_refused(origin: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        spec_of({"from": origin}, "spec")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"model.d_model": [16]}}, "decides which weights there are"),
        ({"from": {**SPEC["from"], "at": [50]}}, "branch.at: 50 is more than train.steps = 20"),
        ({"from": {**SPEC["from"], "at": ["later"]}}, "expected a step, memorised"),
        ({"from": {"run": "nothing", "at": 1}, "seeds": None}, "no run of that path"),
    ],
)
def test_branches_that_cannot_be_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        planned(tmp_path, **changes)


def test_sweep_of_branches_trains_parents_first_and_goes_on(
    typed: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(
        "from: {grid: {model.ln_type: [off]}, at: [30]}\n"
        "grid: {model.ln_type: [off, pre]}\nseeds: [1]\n"
    )
    swept = typed("sweep", "s.yaml", *SMALL_FLAGS, "--steps", "40")
    assert swept.returncode == 0, swept.stderr
    paths = sorted((tmp_path / "runs/s").glob("add-*"), key=lambda path: "-at-" in path.name)
    parent, branch = map(RunDir, paths)
    assert branch.config().branch.parent == parent.config().digest()
    assert (parent.states_dir / "step_000030.pt").exists()
    before = branch.summary_file.read_bytes()
    assert typed("sweep", "s.yaml", *SMALL_FLAGS, "--steps", "40").returncode == 0
    assert branch.summary_file.read_bytes() == before
    drawn = typed("plot", "branches", "runs/s", "--terminal")
    assert "parent" in drawn.stdout, drawn.stderr


def test_branch_waits_for_its_parent(tmp_path: Path) -> None:
    runs = planned(tmp_path, seeds=[1])
    executor = ScriptedExecutor()
    Driver(runs, executor, SweepWatcher()).begin()
    handed = {job.run.path for job in executor.waiting}
    assert handed == {one.run.path for one in runs if not one.relatives}


def test_branch_waits_for_the_run_that_gives_weights(tmp_path: Path) -> None:
    points = [{"branch.transplant": ["embedding"], "branch.donor": "next"}]
    spec = {"from": {"grid": {"model.ln_type": ["off"]}, "at": 0}, "grid": {}, "points": points}
    driver = Driver(planned(tmp_path, **spec), ScriptedExecutor(), SweepWatcher())
    driver._survey()
    first, second, *branches = driver.entries
    assert len(branches) == 2
    for ended, may in (((), False), ((first,), False), ((first, second), True)):
        for entry in ended:
            entry.state = "finished"
        assert [driver._may_start(branch) for branch in branches] == [may] * 2


def test_a_view_tells_branches_apart(tmp_path: Path) -> None:
    entries = [Entry(run) for run in planned(tmp_path)]
    view = SweepView(Console())
    view.start(entries)
    assert len({view.label(entry) for entry in entries}) == len(entries) == 12

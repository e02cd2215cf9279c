"""Which runs a sweep consists of."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from grok_cli.executors.local import share_cores
from grok_cli.runs.settings import SettingsError
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.seeds import PAPER_SEEDS, parse_seeds
from grok_cli.sweeps.spec import PAPER, Spec, find_spec, parse_grid, read_spec


def test_seeds_are_the_papers_and_go_on_deterministically() -> None:
    assert parse_seeds("2") == [456, 789]
    assert parse_seeds("7") == [456, 789, 111, 222, 333, 1000, 1001]
    assert parse_seeds("456,789,456") == [456, 789]
    assert parse_seeds("456,") == [456]


@pytest.mark.parametrize("text", ["", "0", "a", "-1", "1,x", "1.5"])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--seeds"):
        parse_seeds(text)


def test_default_sweep_is_six_placements_on_five_seeds(tmp_path: Path) -> None:
    runs = plan_runs(PAPER, {}, None, tmp_path)
    assert len(runs) == 30
    assert {run.config.train.seed for run in runs} == set(PAPER_SEEDS)
    placements = {"off", "attn-pre", "pre", "mlp-pre", "attn-pre-qk", "attn-pre-v"}
    assert {run.config.model.ln_type for run in runs} == placements


def test_a_fixed_placement_leaves_one_group(tmp_path: Path) -> None:
    runs = plan_runs(PAPER, {"model.ln_type": "M"}, [1, 2], tmp_path)
    assert [run.config.model.ln_type for run in runs] == ["mlp-pre", "mlp-pre"]


def test_equal_points_are_one_run(tmp_path: Path) -> None:
    spec = Spec(
        grid=parse_grid(["model.ln_type=pre,M+A*", "opt.learning_rate=1e-3,0.001"]),
        points=[{"model.ln_type": "pre"}, {"opt.learning_rate": 0.01}],
    )
    runs = plan_runs(spec, {}, [1], tmp_path)
    assert len(runs) == 2
    assert len({run.name for run in runs}) == 2


def test_threads_and_wandb_do_not_name_a_run(tmp_path: Path) -> None:
    plain = plan_runs(PAPER, {}, [1], tmp_path)
    elsewhere = plan_runs(PAPER, {"run.threads": 7, "wandb.mode": "offline"}, [1], tmp_path)
    assert [run.run.path for run in plain] == [run.run.path for run in elsewhere]


def test_what_is_given_anew_reaches_an_existing_directory(tmp_path: Path) -> None:
    for run in plan_runs(PAPER, {"run.save_every": 50}, [1], tmp_path):
        run.create()
    again = plan_runs(PAPER, {"wandb.mode": "offline"}, [1], tmp_path)
    assert {tuple(run.changes()) for run in again} == {("--set", 'wandb.mode="offline"')}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.ln_typ=pre", "did you mean model.ln_type"),
        ("model.ln_type", "expected section.key=value,value"),
        ("run.threads=1,2", "does not change what a run computes"),
    ],
)
def test_grid_mistakes_are_explained(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_grid([text])


def test_sweep_file_gives_grid_points_and_seeds(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "question: which?\n"
        "base: {data: {modulus: 97}, train.steps: 100}\n"
        "grid: {model.ln_type: [off, pre]}\n"
        "points:\n"
        "  - {model: {ln_type: peri}, train.seed: 7}\n"
        "seeds: 2\n"
    )
    spec = read_spec(file)
    runs = plan_runs(spec, {}, None, tmp_path)
    assert spec.question == "which?"
    assert [(run.config.model.ln_type, run.config.train.seed) for run in runs] == [
        ("off", 456),
        ("off", 789),
        ("pre", 456),
        ("pre", 789),
        ("peri", 7),
    ]
    assert {run.config.data.modulus for run in runs} == {97}
    assert len(plan_runs(spec, {}, [1, 2, 3], tmp_path)) == 9


def test_wandb_sweep_file_is_run_as_a_grid(tmp_path: Path) -> None:
    file = tmp_path / "wandb.yaml"
    file.write_text(
        "program: train.py\nmethod: grid\nproject: mine\n"
        "parameters:\n"
        "  data.modulus: {value: 97}\n"
        "  train.seed: {values: [1, 2]}\n"
        "  model:\n    parameters:\n      ln_type: {values: [off, pre]}\n"
    )
    runs = plan_runs(read_spec(file), {}, None, tmp_path)
    points = {(run.config.model.ln_type, run.config.train.seed) for run in runs}
    assert points == {("off", 1), ("off", 2), ("pre", 1), ("pre", 2)}
    assert {(run.config.data.modulus, run.config.wandb.project) for run in runs} == {(97, "mine")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grids: {}\n", "did you mean grid"),
        ("grid: {model.ln_type: pre}\n", "expected a list of values"),
        ("grid: {model.ln_typ: [pre]}\n", "did you mean model.ln_type"),
        ("seeds: many\n", "seeds: expected"),
        ("points: {model.ln_type: pre}\n", "expected a list of settings"),
        ("method: bayes\nparameters: {}\n", "expected method: grid"),
        ("parameters: {opt.learning_rate: {min: 0, max: 1}}\n", "expected `values`"),
    ],
)
def test_mistakes_in_sweep_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_spec(file)


def test_unknown_sweep_file_is_a_usage_error() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml is no file"):
        find_spec("nowhere.yaml")


@pytest.mark.parametrize(
    ("given", "shared"),
    [
        ((30, None, None, 8), (8, 1)),
        ((3, None, None, 8), (3, 2)),
        ((30, 2, None, 8), (2, 4)),
        ((30, None, 4, 8), (2, 4)),
        ((0, None, None, 8), (1, 8)),
        ((30, 16, None, 8), (16, 1)),
    ],
)
def test_cores_are_used_once(
    given: tuple[int, int | None, int | None, int], shared: object
) -> None:
    assert share_cores(*given) == shared


def test_dry_run_makes_nothing(grok: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    result = grok("sweep", "--dry-run", "--seeds", "2", "--grid", "model.ln_type=pre,off", "--json")
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert [run["status"] for run in plan["runs"]] == ["new"] * 4
    assert plan["steps_left"] == 40_000
    assert plan["seconds"] > 0  # a few steps were measured
    assert not list(tmp_path.iterdir())
    wrong = grok("sweep", "--grid", "model.ln_typ=pre")
    assert wrong.returncode == 2
    assert "did you mean model.ln_type" in wrong.stderr

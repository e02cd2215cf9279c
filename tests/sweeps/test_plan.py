"""Which runs a sweep consists of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grok_cli.errors import UsageError
from grok_cli.executors.local import LocalOptions, share_cores
from grok_cli.runs.settings import SettingsError
from grok_cli.sweeps import plan
from grok_cli.sweeps.plan import PlannedRun, plan_runs, steps_left
from grok_cli.sweeps.seeds import PAPER_SEEDS, parse_seeds
from grok_cli.sweeps.spec import PAPER, STUDIES, Spec, find_spec, parse_grid, read_spec
from grok_cli.sweeps.sweep import plan_sweep, why_ask
from tests.conftest import SMALL_FLAGS
from tests.typed import Grok


def test_seeds_are_the_papers_and_go_on_deterministically() -> None:
    assert parse_seeds("2") == [456, 789]
    assert parse_seeds("7") == [456, 789, 111, 222, 333, 1000, 1001]
    assert parse_seeds("456,789,456") == [456, 789]
    assert parse_seeds("456,") == [456]


@pytest.mark.parametrize("text", ["", "0", "a", "-1", "1,x", "1.5"])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_seeds(text)
    assert str(caught.value).startswith(f"--seeds {text}: expected ")
    if text != "0":
        assert str(caught.value).endswith("e.g. 456,789 (a single one: 456,)")


def test_a_sweep_has_at_most_so_many_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MOST_RUNS", 4)
    spec = Spec(grid={"model.ln_type": ["off", "pre"]})
    assert len(plan_runs(spec, {}, [1, 2], tmp_path)) == 4
    with pytest.raises(UsageError, match="up to 6 runs; expected at most 4 in a sweep"):
        plan_runs(spec, {}, [1, 2, 3], tmp_path)


def test_threads_that_are_given_are_those_of_every_run(tmp_path: Path) -> None:
    spec = Spec(grid={"model.ln_type": ["off", "pre"]})
    for fixed, threads in (({"run.threads": 3}, 3), ({}, None)):
        sweep = plan_sweep(spec, LocalOptions(), tmp_path, fixed=fixed, seeds=[1])
        assert sweep.threads == threads
        assert {run.config.run.threads for run in sweep.runs} == {None}  # set where a run starts


def test_a_sweep_with_a_name_takes_runs_from_beside_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec, beside = Spec(grid={"model.ln_type": ["off"]}, seeds=[1]), Path("runs/first")
    (theirs,) = plan_runs(spec, {}, None, beside)
    theirs.create()
    for name, directory, reuse, taken in (
        ("dir/mine.yaml", Path("runs/mine"), (), True),
        ("dir/mine.yaml", Path("runs/mine"), None, False),
        (None, Path("runs"), (), True),  # those below it
        (None, Path("runs"), None, False),
    ):
        sweep = plan_sweep(replace(spec, name=name), LocalOptions(), fixed={}, reuse=reuse)
        (run,) = sweep.runs
        assert (sweep.directory, run.run.path.parent) == (directory, directory)
        assert (run.taken_from is not None) == taken
    unnamed = plan_sweep(spec, LocalOptions(), Path("other/own"), fixed={})
    assert unnamed.runs[0].taken_from is None


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


def test_what_a_run_measures_is_given_anew_until_it_has_begun(tmp_path: Path) -> None:
    def run() -> PlannedRun:
        fixed = {"measure.diagnostics": {"rank": 10}, "run.save_every": 7}
        return plan_runs(PAPER, fixed, [1], tmp_path)[0]

    plan_runs(PAPER, {}, [1], tmp_path)[0].create()
    save = ["--set", "run.save_every=7"]
    assert run().changes() == ["--set", 'measure.diagnostics={"rank": 10}', *save]
    run().run.summary_file.write_text('{"status": "interrupted", "step": 3}')
    assert run().changes() == save


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
        "program: train.py\nmethod: grid\nproject: mine\nentity: us\ndescription: Which?\n"
        "parameters:\n"
        "  data.modulus: {value: 97}\n"
        "  train.seed: {values: [1, 2]}\n"
        "  model:\n    parameters:\n      ln_type: {values: [off, pre]}\n"
    )
    assert read_spec(file).question == "Which?"
    runs = plan_runs(read_spec(file), {}, None, tmp_path)
    points = {(run.config.model.ln_type, run.config.train.seed) for run in runs}
    assert points == {("off", 1), ("off", 2), ("pre", 1), ("pre", 2)}
    assert {run.config.data.modulus for run in runs} == {97}
    assert {(run.config.wandb.project, run.config.wandb.entity) for run in runs} == {("mine", "us")}


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


def test_a_file_wins_over_a_study_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_spec("rmsnorm") == STUDIES / "rmsnorm.yaml"
    Path("rmsnorm").write_text("seeds: 1\n")
    assert find_spec("rmsnorm") == Path("rmsnorm")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nowhere.yaml", "expected FILE.yaml"), ("ln-position", "did you mean ln-positions?")],
)
def test_unknown_sweep_file_is_a_usage_error(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        find_spec(name)
    studies = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
    assert str(caught.value) == f"{name} is no file nor a study ({studies}); {hint}"


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


def test_dry_run_makes_nothing(typed: Grok, tmp_path: Path) -> None:
    result = typed(
        "sweep", "--dry-run", "--seeds", "2", "--grid", "model.ln_type=pre,off", "--json"
    )
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert [run["status"] for run in plan["runs"]] == ["new"] * 4
    assert plan["steps_left"] == 40_000
    assert plan["seconds"] > 0  # a few steps were measured
    assert not list(tmp_path.iterdir())
    wrong = typed("sweep", "--grid", "model.ln_typ=pre")
    assert wrong.returncode == 2
    assert "did you mean model.ln_type" in wrong.stderr


def test_either_kind_of_file_is_checked_and_told_apart(typed: Grok, tmp_path: Path) -> None:
    assert typed("studies", "copy", "ln-positions", "mine.yaml").returncode == 0
    (tmp_path / "run.yaml").write_text("data: {modulus: 97}\n")
    valid = typed("config", "validate", "mine.yaml")
    assert (valid.returncode, "a sweep of 20 runs" in valid.stdout) == (0, True), valid.stderr
    assert typed("config", "validate", "run.yaml").returncode == 0
    for command, words in (
        (["train", "--config", "mine.yaml"], "is a sweep file: `grok sweep mine.yaml` runs it"),
        (["sweep", "run.yaml"], "is a file of settings (data), not of a sweep"),
    ):
        refused = typed(*command)
        assert refused.returncode == 2
        assert words in refused.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {model.ln_typ: [pre]}\n", "did you mean model.ln_type"),
        ("executor: {kind: slum}\ngrid: {model.ln_type: [pre]}\n", "did you mean slurm"),
        ("base: {data.modulus: 1}\n", "data.modulus"),
    ],
)
def test_a_sweep_file_that_is_wrong_is_not_valid(
    typed: Grok, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    refused = typed("config", "validate", "sweep.yaml")
    assert refused.returncode == 2
    assert message in refused.stderr


def test_what_is_typed_wins_over_the_grid_and_the_grid_over_the_base(tmp_path: Path) -> None:
    spec = Spec(base={"model.ln_type": "off"}, grid={"model.ln_type": ["pre", "peri"]})
    assert placements(plan_runs(spec, {}, [1], tmp_path)) == ["pre", "peri"]
    assert placements(plan_runs(spec, {"model.ln_type": "post"}, [1], tmp_path)) == ["post"]
    points = Spec(base={"model.ln_type": "off"}, points=[{"model.ln_type": "pre"}])
    assert placements(plan_runs(points, {}, [1], tmp_path)) == ["pre"]


def test_a_seed_of_zero_is_a_seed(tmp_path: Path) -> None:
    spec = Spec(points=[{"train.seed": 0}], seeds=[1, 2])
    assert [run.config.train.seed for run in plan_runs(spec, {}, None, tmp_path)] == [0]
    fixed = plan_runs(Spec(seeds=[1]), {"train.seed": 0}, None, tmp_path)
    assert [run.config.train.seed for run in fixed] == [0]
    assert parse_seeds("0,") == [0]


@pytest.mark.parametrize(
    ("summary", "left"),
    [
        ({"status": "new"}, 10_000),
        ({"status": "interrupted", "step": 4_000}, 6_000),
        ({"status": "running", "step": "x"}, 10_000),
        ({"status": "interrupted", "step": 20_000}, 0),
        ({"status": "diverged", "step": 5}, 0),
        ({"status": "finished", "step": 500}, 0),  # until it grokked
    ],
)
def test_steps_are_left_of_what_is_not_done(
    summary: dict[str, object], left: int, tmp_path: Path
) -> None:
    assert steps_left(plan_runs(PAPER, {}, [1], tmp_path)[0], summary) == left


def test_set_wins_over_a_file_of_settings(typed: Grok, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {modulus: 97}\nopt: {learning_rate: 0.5}\n")
    shown = typed("config", "show", "--config", "run.yaml", "--set", "data.modulus=23")
    assert "  modulus: 23" in shown.stdout
    assert "  learning_rate: 0.5" in shown.stdout


def placements(runs: list[PlannedRun]) -> list[str]:
    return [run.config.model.ln_type for run in runs]


def test_seeds_that_a_file_names_are_those(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    for text, seeds in (("[3]", [3]), ("3", [456, 789, 111]), ("[5, 4, 5]", [5, 4])):
        file.write_text(f"seeds: {text}\n")
        runs = plan_runs(read_spec(file), {}, None, tmp_path)
        assert [run.config.train.seed for run in runs] == seeds


@pytest.mark.parametrize("text", ["0", "-1", "true", "[true]", "[1.5]", "[]", "{}", "x", "20000"])
def test_seeds_of_a_file_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(f"seeds: {text}\n")
    with pytest.raises(SettingsError, match="seeds"):
        read_spec(tmp_path / "sweep.yaml")


@pytest.mark.parametrize("text", ["100000000", "10001", "9" * 5000, "1," + "9" * 5000])
def test_a_number_of_seeds_has_a_limit(text: str) -> None:
    with pytest.raises(SettingsError, match="--seeds"):
        parse_seeds(text)


def test_a_grid_of_millions_is_refused_before_its_points_are_made(tmp_path: Path) -> None:
    keys = ("opt.learning_rate", "opt.weight_decay", "opt.beta1", "opt.beta2", "opt.eps")
    spec = Spec(grid={key: list(range(1, 1000)) for key in keys})
    with pytest.raises(UsageError, match="expected at most 10,000"):
        plan_runs(spec, {}, [1], tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "question: [1]\n",
        "base: 5\n",
        "base: {model: 5}\n",
        "base: {model: {ln_type: {a: b}}}\n",
        "grid: [1]\n",
        "grid: {model.ln_type: [{a: b}]}\n",
        "points: [5]\n",
        "1: 2\nseeds: 1\n",
        "parameters: 5\n",
        "parameters: {data.modulus: 5}\n",
        "parameters: {data.modulus: {values: 5}}\n",
        "parameters: {model: {parameters: 5}}\n",
        "parameters: {1: {value: 5}}\n",
        "parameters: {data.modulus: {value: [5]}}\nproject: [x]\n",
        "model.ln_type: off\ngrid: {}\n",
    ],
)
def test_values_of_wrong_types_in_sweep_files_are_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(UsageError, match="sweep"):
        plan_runs(read_spec(tmp_path / "sweep.yaml"), {}, [1], tmp_path)


def test_many_runs_are_asked_about(typed: Grok, tmp_path: Path) -> None:
    refused = typed("sweep", "--seeds", "456", "--ln-type", "pre")
    assert refused.returncode == 2
    assert "456 runs are to be trained" in refused.stderr
    assert "--seeds 456, " in refused.stderr
    assert "grok train --seed 456" in refused.stderr
    assert "--yes" in refused.stderr
    assert not list(tmp_path.iterdir())
    assert typed("sweep", "--seeds", "456", "--ln-type", "pre", "--status").returncode == 0


def test_a_sweep_of_few_runs_and_one_that_was_begun_are_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, runs = {"train.steps": 1, "model.ln_type": "off"}, tmp_path / "runs"

    def asked(count: int) -> str | None:
        seeds = list(range(count))
        return why_ask(plan_sweep(PAPER, LocalOptions(), runs, fixed=fixed, seeds=seeds))

    monkeypatch.setattr("grok_cli.sweeps.sweep.MANY_RUNS", 4)
    assert (asked(4), asked(5)) == (None, "5 runs are to be trained")
    plan_runs(PAPER, fixed, [2], runs)[0].create()
    assert asked(5) is None


def test_what_takes_days_is_asked_about(typed: Grok, tmp_path: Path) -> None:
    refused = typed("sweep", "--seeds=1", "--ln-type=pre", "--modulus=997", "--steps=100000")
    assert refused.returncode == 2
    assert "hours" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_refused_once(typed: Grok, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file is in the way")
    refused = typed("sweep", "--seeds=2", "--ln-type=pre", *SMALL_FLAGS)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "cannot write to runs" in refused.stderr

"""The studies that come with the program: valid, complete, and each starts."""

import json
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from grok_cli.core.config import KEYS, Config
from grok_cli.core.training import NORM_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import UsageError
from grok_cli.executors.local import available_cores, share_cores
from grok_cli.runs.launch import train_run
from grok_cli.runs.sweep_record import record_sweep
from grok_cli.sweeps import studies
from grok_cli.sweeps.estimate import PACE
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.seeds import PAPER_SEEDS
from grok_cli.sweeps.spec import STUDIES, read_spec, spec_named
from grok_cli.sweeps.studies import find_study, overview, study_of
from tests.typed import Grok

NAMES = sorted(file.stem for file in STUDIES.glob("*.yaml"))
RUNS = {
    "ln-positions": 20,
    "attention-pathways": 30,
    "learning-rate": 20,
    "weight-decay": 30,
    "readout-scale": 25,
    "readout-scale-eps0": 25,
    "readout-scale-subtracted": 25,
    "readout-scale-lazy-lr": 25,
    "readout-scale-lazy-lr-eps0": 25,
    "readout-scale-lazy-lr-subtracted": 25,
    "mlp-memorization": 20,
    "rmsnorm": 20,
    "depth": 20,
    "progress-measures": 5,
    "operations": 45,
    "when-does-the-norm-matter": 60,
    "when-does-decay-matter": 60,
    "transplant": 60,
    "dtype-twin": 40,
    "accelerators": 160,
    "biases": 115,
}
SHORT = {
    "data.modulus": 11,
    "data.test_ratio": 0.5,
    "model.d_model": 16,
    "train.steps": 10,
    "run.threads": 1,
}


def test_every_study_is_listed_here() -> None:
    assert set(NAMES) == set(RUNS)


@pytest.mark.parametrize("name", NAMES)
def test_study_has_the_papers_seeds_steps_and_diagnostics(name: str) -> None:
    spec = read_spec(STUDIES / f"{name}.yaml")
    runs = plan_runs(spec, {}, None, Path("runs"))
    assert len(runs) == RUNS[name]
    assert spec.question.endswith("?")
    assert "arXiv" in spec.source
    assert {run.config.train.seed for run in runs} == set(PAPER_SEEDS)
    for run in runs:
        assert run.config.train.steps == 10_000
        assert run.config.measure.diagnostics
        DIAGNOSTICS.check(run.config.measure.diagnostics)


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        *((name, {"ntk", "rank", "fourier", "attention"}) for name in ("ln-positions", "depth")),
        ("rmsnorm", {"ntk", "rank", "fourier", "attention"}),
        ("mlp-memorization", {"spec", "ntk", "fourier"}),
        ("learning-rate", {"ntk", "rank", "fourier"}),
    ],
)
def test_study_measures_what_the_papers_script_measured(name: str, measured: set[str]) -> None:
    (run, *_) = plan_runs(read_spec(STUDIES / f"{name}.yaml"), {}, None, Path("runs"))
    assert measured <= set(run.config.measure.diagnostics)


def test_learning_rate_study_keeps_the_decay_of_a_step() -> None:
    for run in plan_runs(read_spec(STUDIES / "learning-rate.yaml"), {}, None, Path("runs")):
        opt = run.config.opt
        assert opt.learning_rate * opt.weight_decay == pytest.approx(1e-3, rel=1e-12)


def test_no_accelerator_is_tuned_more_than_another() -> None:
    grids: dict[str, set[tuple[float, float]]] = {}
    for run in plan_runs(read_spec(STUDIES / "accelerators.yaml"), {}, None, Path("runs")):
        opt, train = run.config.opt, run.config.train
        arm = f"{opt.optimizer} {opt.gradient_filter} {train.loss} {train.label_smoothing}"
        grids.setdefault(arm, set()).add((opt.learning_rate, opt.weight_decay))
    assert len(grids) == 8
    assert all(grid == {(r, d) for r in (3e-3, 1e-2) for d in (0, 1)} for grid in grids.values())


@pytest.mark.parametrize("variant", ["", "-eps0", "-subtracted"])
def test_lazy_learning_rate_is_that_of_the_scale_squared(variant: str) -> None:
    file = STUDIES / f"readout-scale-lazy-lr{variant}.yaml"
    for run in plan_runs(read_spec(file), {}, None, Path("runs")):
        scale = run.config.model.output_scaling
        assert run.config.opt.learning_rate == pytest.approx(1e-3 / scale**2, rel=1e-12)
        assert run.config.opt.eps == (0 if variant else 1e-8)
        assert run.config.model.subtract_init == (variant == "-subtracted")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_shortened_study_trains_to_a_report(name: str, tmp_path: Path) -> None:
    """A run of the first and of the last group, 10 steps, every diagnostic of the study."""
    from grok_cli.report.pages import html_page
    from grok_cli.report.report import make_report

    spec = spec_named(name)
    if spec.origin is not None:  # its parents have no other steps
        spec = replace(spec, origin=replace(spec.origin, at=(4,)))
    runs = plan_runs(spec, SHORT, [456], tmp_path / name)
    by_path = {planned.run.path: planned for planned in runs}
    before = [by_path[parent.path] for parent in runs[-1].relatives]
    for planned in {one.name: one for one in (runs[0], *before, runs[-1])}.values():
        planned.create()
        outcome = train_run(planned.run, planned.config)
        assert outcome.status == "finished", outcome.message
    report = make_report(tmp_path / name, spec)
    page = html_page(report)
    assert len(report.names) == len({row.name for row in report.groups})
    assert spec.question.replace("'", "&#39;") in page
    assert all(run.name in page for run in report.runs)
    assert 'data-chart="accuracy"' in page
    always = {*TRAIN_COLUMNS, *NORM_COLUMNS, *TEST_COLUMNS}
    assert set(report.finished.metrics) > always  # ... and diagnostics


def test_overview_says_what_is_done_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    before = overview(tmp_path / "runs")
    assert [study.name for study in before.studies] == NAMES
    assert all(study.seconds is None and study.done == 0 for study in before.studies)

    file = STUDIES / "progress-measures.yaml"
    planned = plan_runs(read_spec(file), {}, None, tmp_path / "runs" / "progress-measures")[0]
    planned.create()
    summary = {"status": "finished", "step": 10_000, "steps_per_second": 20.0}
    planned.run.summary_file.write_text(json.dumps(summary))
    planned.run.environment_file.write_text(json.dumps([{"host": socket.gethostname()}]))
    after = {study.name: study for study in overview(tmp_path / "runs").studies}
    study = after["progress-measures"]
    assert study.done == 1
    assert study.seconds == pytest.approx(max(4 / _workers(5), 1) * 10_000 / 20)
    one_layer, deep = after["ln-positions"].seconds, after["depth"].seconds
    assert one_layer is not None
    assert deep is not None
    assert deep > 2 * one_layer  # as many runs, whose steps are more work


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ln-position", "did you mean ln-positions?"), ("zzz", "`grok studies` lists them")],
)
def test_an_unknown_study_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_study(name)
    assert str(caught.value) == f"{name} is no study; {hint}"


def test_runs_are_of_the_study_that_their_directory_or_its_last_command_names(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine"
    for spec, study in (
        *((None, None), ("depth", "depth"), ("rmsnorm", "rmsnorm"), ("own.yaml", "rmsnorm")),
    ):
        record_sweep(mine, f"grok sweep {spec}", spec, 1)
        found = study_of(mine)
        assert (found and found.name) == study
    named = mine.rename(tmp_path / "transplant")
    found = study_of(named)
    assert found is not None
    assert found.name == "transplant"


def test_speeds_that_are_measured_are_those_of_one_thread_and_of_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: dict[str, object] = {}

    def stub(speeds: object, configs: Iterable[Config], *, threads: int) -> None:
        measured.update(speeds=speeds, runs=len(list(configs)), threads=threads)

    monkeypatch.setattr(studies, "measure_unknown", stub)
    found = overview(tmp_path, measure=True)
    assert measured["speeds"] is not None
    assert measured["threads"] == 1
    assert measured["runs"] == sum(study.runs for study in found.studies)


def test_a_run_that_studies_share_counts_once(tmp_path: Path) -> None:
    found = overview(tmp_path)
    assert found.runs < sum(study.runs for study in found.studies)
    spec = read_spec(STUDIES / "ln-positions.yaml")
    planned = plan_runs(spec, {"model.ln_type": "off"}, [456], tmp_path / "ln-positions")[0]
    planned.create()
    planned.run.summary_file.write_text(json.dumps({"status": "finished", "step": 10_000}))
    found = overview(tmp_path)
    done = {study.name for study in found.studies if study.done}
    assert done == {
        *("ln-positions", "attention-pathways", "learning-rate", "weight-decay"),
        *("mlp-memorization", "readout-scale", "readout-scale-lazy-lr"),
        "when-does-the-norm-matter",
    }
    assert found.done == 1


def test_an_edited_run_is_named_and_its_study_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = STUDIES / "progress-measures.yaml"
    monkeypatch.setattr(studies, "study_files", lambda: [file])
    planned = plan_runs(read_spec(file), {}, None, tmp_path / file.stem)
    for run in planned[:2]:
        run.create()
        run.run.summary_file.write_text(json.dumps({"status": "diverged", "step": 9}))
    edited = planned[0].run.config_file
    edited.write_text(edited.read_text().replace("weight_decay: 1.0", "weight_decay: 2.0"))
    found = overview(tmp_path)
    (problem,) = found.problems
    assert "opt.weight_decay: 2.0, and was 1.0" in problem
    assert [(study.runs, study.done) for study in found.studies] == [(5, 2)]


def _workers(runs: int) -> int:
    return share_cores(runs, None, None, available_cores())[0]


def test_time_depends_on_settings_that_exist() -> None:
    assert set(PACE) <= set(KEYS)


def test_show_and_copy_give_the_file(typed: Grok, tmp_path: Path) -> None:
    text = (STUDIES / "rmsnorm.yaml").read_text()
    assert typed("studies", "show", "rmsnorm").stdout == text
    assert typed("studies", "copy", "rmsnorm", "mine.yaml").stdout == "mine.yaml\n"
    assert (tmp_path / "mine.yaml").read_text() == text
    refused = typed("studies", "copy", "rmsnorm", "mine.yaml")
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    unknown = typed("studies", "show", "rmsnorn")
    assert unknown.returncode == 2
    assert "did you mean rmsnorm?" in unknown.stderr


def test_example_study_is_one() -> None:
    file = Path(__file__).parents[2] / "examples" / "tied_unembedding.yaml"
    runs = plan_runs(read_spec(file), {}, None, Path("runs"))
    assert len(runs) == 15
    assert {run.config.model.final_norm for run in runs} == {"off", "on"}

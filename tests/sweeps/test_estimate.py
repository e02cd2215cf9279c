"""How long runs will take: scaled by the work of a step, less what is done."""

import json
import math
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from grok_cli.bench.stopwatch import StepTime
from grok_cli.core.config import Config
from grok_cli.errors import GrokError
from grok_cli.executors.local import LocalOptions
from grok_cli.sweeps import sweep
from grok_cli.sweeps.estimate import (
    Speeds,
    forecast,
    measure_unknown,
    pace,
    recorded_speeds,
    step_work,
)
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import Spec
from tests.conftest import small_config

DEFAULT = Config()


def config(**sections: dict[str, object]) -> Config:
    return Config.model_validate(sections)


def test_work_of_the_published_step_is_that_of_its_products() -> None:
    """d (hidden + p) + hidden p a row, three times for 30 % of the pairs, once for a tenth of the
    test rows."""
    row = 128 * (512 + 113) + 512 * 113
    rows = 113**2 * (3 * 0.3 + 0.7 / 10)
    assert step_work(DEFAULT) == pytest.approx(row * rows, rel=0.05)


def test_more_work_is_that_of_the_products_that_are_added() -> None:
    d, hidden, p = 128, 512, 113
    row, block = d * (hidden + p) + hidden * p, 3 * (4 * d**2 + 2 * d * hidden)
    pairs = 0.3 * p**2, 0.7 * p**2  # of training and test
    rows = 3 * pairs[0] + pairs[1] / 10
    for sections, more in (
        ({"model": {"n_layers": 4}}, 3 * block * rows),
        (
            {"model": {"n_layers": 2, "mlp_type": "gated"}},
            (d * hidden + block + 3 * d * hidden) * rows,
        ),
        ({"model": {"ln_type": "mlp-pre"}}, d**2 * rows),
        ({"train": {"batch_size": 512}}, row * 3 * (512 - pairs[0])),
        ({"train": {"batch_size": 10_000}}, 0),  # of which there are not so many
        ({"train": {"eval_every": 1}}, row * 0.9 * pairs[1]),
        ({"run": {"engine": "plain"}}, (block + 3 * d * p - row) * rows),
    ):
        added = step_work(config(**sections)) - step_work(DEFAULT)
        assert added == pytest.approx(more, rel=1e-3, abs=row), sections


@pytest.mark.parametrize(
    ("sections", "least", "most"),
    [
        ({"data": {"modulus": 23}}, 0.0, 0.1),
        ({"model": {"d_model": 256}}, 1.9, 4.1),
        ({"model": {"n_layers": 4}}, 5.0, 20.0),  # further blocks are computed in full
        ({"train": {"batch_size": 512}}, 0.05, 0.4),
        ({"train": {"eval_every": 1}}, 1.5, 1.8),
        ({"run": {"engine": "plain"}}, 3.0, 8.0),
        ({"train": {"eval_spacing": "log"}}, 0.9, 0.95),  # evaluated a few times
        ({"model": {"ln_type": "mlp-pre"}}, 1.1, 1.13),  # d more a row
    ],
)
def test_work_grows_with_the_size_of_the_problem(
    sections: dict[str, dict[str, object]], least: float, most: float
) -> None:
    other = config(**sections)
    assert least < step_work(other) / step_work(DEFAULT) < most
    if "ln_type" not in sections.get("model", {}):  # which matters less than one measures
        assert pace(other) != pace(DEFAULT)


@pytest.mark.parametrize(
    "sections",
    [
        *({"train": {"dtype": "float64"}}, {"measure": {"diagnostics": {"ntk": 10}}}),
        *({"data": {"task": "s5"}}, {"data": {"test_ratio": 0.5}}),
        *({"model": {"mlp_ratio": 2}}, {"model": {"mlp_type": "gated"}}),
    ],
    ids=str,
)
def test_the_speed_of_a_run_tells_nothing_of_one_that_computes_more(
    sections: dict[str, dict[str, object]],
) -> None:
    assert pace(config(**sections)) != pace(DEFAULT)
    assert pace(config(train={"seed": 1}, opt={"weight_decay": 0.0})) == pace(DEFAULT)


def test_a_gated_mlp_is_three_matrices() -> None:
    d, hidden, p = 128, 512, 113
    plain, gated = (
        step_work(config(model={"mlp_type": kind}, run={"engine": "plain"}))
        for kind in ("plain", "gated")
    )
    more = 3 * d * hidden / (3 * (4 * d**2 + 2 * d * hidden) + 3 * d * p)
    assert gated / plain == pytest.approx(1 + more, rel=0.01)


def test_an_equal_run_is_as_fast_and_another_is_scaled() -> None:
    speeds = Speeds([(DEFAULT, 18.0), (DEFAULT, 20.0), (DEFAULT, 30.0)])
    assert speeds.of(DEFAULT) == 20.0
    assert speeds.of(config(model={"ln_type": "off"}, train={"seed": 1})) == 20.0
    wide = config(model={"d_model": 256})
    expected = 20.0 * step_work(DEFAULT) / step_work(wide)
    assert speeds.of(wide) == pytest.approx(expected)
    assert not Speeds([])
    assert Speeds([]).of(DEFAULT) is None


def test_the_speed_of_the_run_nearest_in_work_is_scaled() -> None:
    small, wide, deep = (
        config(**{section: {key: value}})
        for section, key, value in (
            *(("data", "modulus", 23), ("model", "d_model", 256), ("model", "n_layers", 4)),
        )
    )
    speeds = Speeds([(small, 400.0), (deep, 5.0)])
    work = [step_work(one) for one in (small, wide, deep)]
    assert work[0] < work[1] ** 2 / work[2] < work[1] < work[2]  # nearer to the deep one
    assert speeds.of(wide) == pytest.approx(5.0 * work[2] / work[1])
    assert [speeds.know(one) for one in (small, deep, DEFAULT)] == [True, True, False]
    faster = config(train={"eval_every": 1})  # more work than DEFAULT, and less than three times
    assert Speeds([(faster, 1.0)]).know(DEFAULT)
    assert Speeds([(DEFAULT, 1.0)]).know(faster)


def test_steps_that_were_made_do_not_count(tmp_path: Path) -> None:
    runs = plan_runs(Spec(grid={"model.ln_type": ["off", "pre"]}), {}, [1], tmp_path)
    speeds = Speeds([(DEFAULT, 10.0)])
    summaries = [{"status": "interrupted", "step": 4_000}, {"status": "finished", "step": 10_000}]
    standing = list(zip(runs, summaries, strict=True))
    ahead = forecast(standing, speeds, 2)
    assert (ahead.steps, ahead.seconds) == (6_000, 600.0)  # one run cannot be shared
    new = [(run, {"status": "new"}) for run in runs]
    assert forecast(new, speeds, 2).seconds == 1000.0
    assert forecast(new, speeds, None).seconds == 2000.0
    assert forecast(standing, Speeds([]), 2).seconds is None
    done = [(run, {"status": "finished"}) for run in runs]
    assert forecast(done, Speeds([]), 2).seconds == 0.0


def test_speeds_are_measured_of_what_is_left_with_the_threads_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, asked = Spec(grid={"model.ln_type": ["off", "pre", "peri"]}), []

    def note(speeds: Speeds, configs: Iterable[Config], threads: int | None) -> None:
        asked.append(([config.model.ln_type for config in configs], threads))

    monkeypatch.setattr(sweep, "measure_unknown", note)
    for threads, status in ((3, "finished"), (2, "diverged")):
        fixed, options = {"run.threads": threads}, LocalOptions(jobs=1)
        planned = sweep.plan_sweep(spec, options, tmp_path / "runs", fixed=fixed, seeds=[1])
        planned.runs[threads - 2].create()
        planned.runs[threads - 2].run.summary_file.write_text(json.dumps({"status": status}))
        assert sweep.look_ahead(planned).workers == 1
        sweep.look_ahead(planned, measure=True)
    assert asked == [(["off", "peri"], 3), (["peri"], 2)]


def test_only_finished_runs_of_this_machine_tell_the_speed(tmp_path: Path) -> None:
    here, there, begun = plan_runs(Spec(), {"data.modulus": 23}, [1, 2, 3], tmp_path)
    cases = (
        (here, socket.gethostname(), "finished"),
        (there, "another", "finished"),
        (begun, socket.gethostname(), "interrupted"),
    )
    for speed, (run, host, status) in enumerate(cases, 10):
        run.create()
        summary = {"status": status, "step": 5, "steps_per_second": float(speed)}
        run.run.summary_file.write_text(json.dumps(summary))
        before = "another" if run is here else socket.gethostname()  # the last session counts
        run.run.environment_file.write_text(json.dumps([{"host": before}, {"host": host}]))
    assert recorded_speeds(run.run for run in (here, there, begun)).of(here.config) == 10.0


def test_a_speed_is_a_positive_number_of_a_run_that_finished(tmp_path: Path) -> None:
    (run,) = plan_runs(Spec(), {"data.modulus": 23}, [1], tmp_path)
    run.create()
    run.run.environment_file.write_text(json.dumps([{"host": socket.gethostname()}]))
    for status, speed, known in (
        *(("finished", 2, 2.0), ("diverged", 2.0, None), ("running", 2.0, None)),
        *(("finished", wrong, None) for wrong in (0, -1.0, math.nan, math.inf, None, "2")),
    ):
        summary = {"status": status, "steps_per_second": speed}
        run.run.summary_file.write_text(json.dumps(summary))
        assert recorded_speeds([run.run]).of(run.config) == known
    run.run.summary_file.write_text(json.dumps({"status": "finished", "steps_per_second": 2.0}))
    run.run.config_file.write_text("[")  # damaged, which is told elsewhere
    assert not recorded_speeds([run.run])


def test_a_few_steps_tell_the_speed_of_runs_that_no_known_one_is_comparable_to() -> None:
    """20 ms a step and 30 more for an evaluation, every 10th step: 23 ms."""
    small, deep = config(data={"modulus": 23}), config(model={"n_layers": 4})
    alike = [config(model={"ln_type": ln_type}) for ln_type in ("off", "pre")]
    speeds, asked = Speeds([(small, 400.0)]), []

    def step_time(of: Config, threads: int | None) -> StepTime:
        asked.append((of, threads))
        return StepTime(bare=20.0, evaluating=50.0)

    measure_unknown(speeds, [small, *alike, deep], 1, step_time)
    assert asked == [(alike[0], 1), (deep, 1)]
    assert speeds.of(alike[1]) == pytest.approx(1000 / 23)
    assert speeds.of(small) == 400.0


def test_steps_are_measured_and_a_run_that_diverges_has_no_speed() -> None:
    speeds = Speeds([])
    measure_unknown(speeds, [small_config()], 1)
    assert (speeds.of(small_config()) or 0.0) > 1.0

    def diverging(of: Config, threads: int | None) -> StepTime:
        raise GrokError("diverged")

    nothing = Speeds([])
    measure_unknown(nothing, [small_config()], 1, diverging)
    assert nothing.of(small_config()) is None

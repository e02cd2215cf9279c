"""The registry, the schedule, and that measuring changes nothing."""

import copy
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines import PlainEngine
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.diagnostics.registry import (
    DIAGNOSTICS,
    Registry,
    UnknownDiagnosticError,
    diagnostic,
)
from grok_cli.diagnostics.schedule import schedule
from grok_cli.diagnostics.subject import Subject
from grok_cli.errors import UsageError
from tests.diagnostics.builders import small_network, small_subject

OPTIONS: list[dict[str, Any]] = [
    {},
    {"n_layers": 2, "ln_type": "pre", "mlp_type": "gated"},
    {"unembed": "tied", "ln_type": "peri", "final_norm": "on", "norm": "rmsnorm"},
    {"subtract_init": True, "n_heads": 1},
]


@diagnostic("weight-sum", columns=["mine/sum"], cost="cheap", formula="sum", source="here")
def weight_sum(subject: Subject) -> dict[str, float]:
    return {"mine/sum": float(subject.model.embed.detach().sum())}


def test_names_are_known_without_importing_torch() -> None:
    code = (
        "import sys; from grok_cli.diagnostics.registry import DIAGNOSTICS as d; d.check(list(d)); "
        "assert len(d) > 10 and 'ntk' in d and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownDiagnosticError, match=r"'atention'; did you mean attention\?"):
        DIAGNOSTICS["atention"]


@pytest.mark.parametrize("name", list(DIAGNOSTICS))
def test_every_diagnostic_is_described(name: str) -> None:
    found = DIAGNOSTICS[name]
    assert found.name == name
    assert found.formula
    assert found.source


def test_columns_of_all_diagnostics_differ() -> None:
    model, _ = small_network(n_layers=2)
    columns = [column for name in DIAGNOSTICS for column in DIAGNOSTICS[name].columns(model.config)]
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", list(DIAGNOSTICS))
def test_a_diagnostic_returns_its_columns(name: str, options: dict[str, Any]) -> None:
    subject = small_subject(initial=True, **options)
    values = DIAGNOSTICS[name].measure(subject)
    assert list(values) == DIAGNOSTICS[name].columns(subject.config)
    assert all(isinstance(value, float) for value in values.values())


@pytest.mark.parametrize("task", ["divide", "multiply", "sum-xor", "subtract"])
@pytest.mark.parametrize("name", list(DIAGNOSTICS))
def test_every_task_can_be_measured(name: str, task: str) -> None:
    subject = small_subject(initial=True, task=task)
    assert list(DIAGNOSTICS[name].measure(subject)) == DIAGNOSTICS[name].columns(subject.config)


@pytest.mark.parametrize("name", list(DIAGNOSTICS))
def test_measuring_changes_nothing(name: str) -> None:
    subject = small_subject(initial=True, ln_type="pre", n_layers=2)
    model = subject.model
    model(subject.dataset.tokens).sum().backward()
    weights = copy.deepcopy(model.state_dict())
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    random_state = torch.get_rng_state()
    measured = DIAGNOSTICS[name]

    first = measured.measure(subject)
    again = measured.measure(Subject(model, subject.dataset, subject.initial))

    assert str(first) == str(again)  # as text, where nan equals nan
    assert all(torch.equal(weights[n], w) for n, w in model.state_dict().items())
    assert all(
        p.grad is not None and torch.equal(gradients[n], p.grad)
        for n, p in model.named_parameters()
    )
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_a_network_with_one_weight_that_is_no_number_is_not_finite() -> None:
    assert small_subject(n_layers=2).is_finite
    for value in (float("nan"), float("inf")):
        broken = small_subject(n_layers=2)
        broken.model.layers()[1].mlp.b_in.data[3] = value
        assert not broken.is_finite


def test_measuring_without_gradients_gives_the_same() -> None:
    subject = small_subject(initial=True)
    for name in ("ntk", "symmetry", "norms"):
        expected = str(DIAGNOSTICS[name].measure(subject))
        with torch.no_grad():
            assert str(DIAGNOSTICS[name].measure(subject)) == expected


def train(wanted: dict[str, int], steps: int = 6) -> tuple[Transformer, list[dict[str, float]]]:
    """A few steps of a small network, measured after each update that is due."""
    config = Config.model_validate(
        {"data": {"modulus": 7}, "model": {"d_model": 16, "ln_type": "mlp-pre"}}
    )
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    engine = PlainEngine(config, model, dataset)
    periods = schedule(wanted, model, copy.deepcopy(model))
    rows = []
    for step in range(1, steps + 1):
        before = {n: p.detach().clone() for n, p in model.trainable().items()}
        engine.step(dataset.train)
        optimizer.step()
        for period in periods:
            if step == 1 or step % period.every == 0:
                values = period.measure(model, dataset, before)
                assert list(values) == list(period.columns)
                rows.append({"step": step} | values)
    return model, rows


def test_training_with_diagnostics_equals_training_without_bitwise() -> None:
    wanted = dict.fromkeys(set(DIAGNOSTICS) - {"hessian"}, 2)
    measured, rows = train(wanted)
    plain, none = train({})
    assert none == []
    assert [row["step"] for row in rows] == [1, 2, 4, 6]
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, measured.state_dict()[name])


def test_diagnostics_of_one_period_share_a_subject_and_periods_come_sorted() -> None:
    model, _ = small_network()
    periods = schedule({"rank": 200, "fourier": 100, "margin": 200}, model, None)
    assert [period.every for period in periods] == [100, 200]
    assert [d.name for d in periods[1].diagnostics] == ["rank", "margin"]


def test_kernel_has_moved_little_after_one_step_and_more_after_six() -> None:
    _, rows = train({"ntk": 1})
    distances = [row["ntk/relative_distance"] for row in rows]
    assert 0 < distances[0] < 0.1
    assert distances[-1] > 2 * distances[0]


def test_update_norm_of_adam_s_first_step_is_the_learning_rate_an_entry() -> None:
    _, rows = train({"norms": 1}, steps=1)
    assert rows[0]["norms/pos/update"] == pytest.approx(1e-3 * (3 * 16) ** 0.5, rel=0.02)


def test_a_package_adds_a_diagnostic_through_an_entry_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("weight-sum", f"{__name__}:weight_sum", "grok_cli.diagnostics")
    monkeypatch.setattr("grok_cli.plugins.entry_points", lambda group: [point])
    extended = Registry()
    assert "weight-sum" in list(extended)
    subject = small_subject()
    value = extended["weight-sum"].measure(subject)["mine/sum"]
    assert value == float(subject.model.embed.detach().sum())


@pytest.mark.parametrize(
    ("place", "message"),
    [
        *(
            (place, f"{place} was expected to hold a function under @diagnostic('weight-sum', ...)")
            for place in ("math:pi", "grok_cli.diagnostics.measures.rank:rank")
        ),
        (
            "no_such_package:x",
            "diagnostic 'weight-sum' of another package (no_such_package:x) cannot be imported: "
            "No module named 'no_such_package'; mend or remove that package",
        ),
    ],
)
def test_an_entry_point_that_leads_elsewhere_is_refused(
    place: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("weight-sum", place, "grok_cli.diagnostics")
    monkeypatch.setattr("grok_cli.plugins.entry_points", lambda group: [point])
    with pytest.raises(UsageError) as caught:
        Registry()["weight-sum"]
    assert str(caught.value) == message

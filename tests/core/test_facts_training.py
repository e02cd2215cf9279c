"""Facts of phases, rows and engines, each on a case whose answer is known on paper."""

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from grok_cli.core.data import Dataset
from grok_cli.core.engines import FastEngine, PlainEngine
from grok_cli.core.engines.fast import engine as fast_engine
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.core.norm import Norm
from grok_cli.core.phases import Phases
from grok_cli.core.placement import PLACEMENTS
from grok_cli.core.tasks import TASKS
from grok_cli.core.training import Recorder, Row, Trainer
from tests.conftest import small_config


class Table(Recorder):
    """Keeps the rows."""

    def __init__(self) -> None:
        self.table: list[Row] = []

    def rows(self, rows: Sequence[Row]) -> None:
        self.table += rows


# Phases: each is the first step of its kind, and stays that.


def test_memorised_stays_the_first_step_when_later_steps_are_as_good() -> None:
    phases = Phases()
    for step, accuracy in ((1, 0.5), (2, 0.99), (3, 0.6), (4, 1.0)):
        phases.see_train(step, accuracy)
    assert phases.memorised == 2


def test_generalised_stays_the_first_evaluation_when_accuracy_dips_and_returns() -> None:
    phases = Phases()
    for step, accuracy in ((10, 0.995), (20, 0.2), (30, 1.0)):
        phases.see_test(step, accuracy)
    assert phases.generalised == 10


def collapsed_run() -> Phases:
    """Sustained at 100, collapsed at 700."""
    phases = Phases()
    phases.see_train(10, 1.0)
    for step, accuracy in ((100, 1.0), (600, 1.0), (700, 0.5)):
        phases.see_test(step, accuracy)
    return phases


def test_collapsed_stays_the_first_step_when_it_collapses_again() -> None:
    phases = collapsed_run()
    for step, accuracy in ((800, 1.0), (900, 0.1)):
        phases.see_test(step, accuracy)
    assert (phases.sustained, phases.collapsed) == (100, 700)


def test_a_partly_recovered_run_is_generalising_and_no_longer_collapsed() -> None:
    phases = collapsed_run()
    assert phases.now == "collapsed"
    phases.see_test(800, 0.9)
    assert phases.now == "generalising"


def test_a_plateau_ends_at_half_of_the_test_rows() -> None:
    phases = Phases()
    phases.see_train(1, 1.0)
    phases.see_test(10, 0.499)
    assert phases.now == "plateau"
    phases.see_test(20, 0.5)
    assert phases.now == "generalising"


# Rows of the metrics.


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_gradient_norm_is_that_of_all_parameters(engine: str) -> None:
    """Of the loss's own gradient, which the filter makes three times as long."""
    config = small_config(
        **{"train__steps": 1, "run__engine": engine, "train__dtype": "float64"},
        **{"model__ln_type": "pre", "opt__gradient_filter": "grokfast-ema"},
    )
    trainer, table = Trainer(config), Table()
    reference = Trainer(config)
    logits = reference.model(reference.dataset.tokens[reference.dataset.train])
    labels = reference.dataset.labels[reference.dataset.train]
    torch.nn.functional.cross_entropy(logits, labels).backward()
    squares = {
        name: float(p.grad.square().sum())
        for name, p in reference.model.named_parameters()
        if p.grad is not None
    }
    assert all(square > 0 for square in squares.values())  # so that none can be left out
    trainer.run(table)
    expected = math.sqrt(sum(squares.values()))
    assert table.table[0]["grads/grad_norm"] == pytest.approx(expected, rel=1e-9)


def test_norms_count_frozen_parameters_which_have_no_update() -> None:
    rows, moved = [], {}
    for freeze in ((), ("embedding",), ("*.attn.*", "mlp", "positions", "unembedding")):
        branch = {"branch__parent": "0" * 10, "branch__freeze": freeze}
        trainer, table = Trainer(small_config(train__steps=1, **branch)), Table()
        before = {name: p.detach().clone() for name, p in trainer.model.trainable().items()}
        trainer.run(table)
        rows.append(table.table[0])
        squares = {n: (p - before[n]).square().sum() for n, p in trainer.model.trainable().items()}
        moved[freeze] = {name for name, square in squares.items() if square > 0}
    assert moved[("embedding",)] == moved[()] - {"embed"}
    whole, *parts = rows
    assert all(row["grads/weight_norm"] == whole["grads/weight_norm"] for row in parts)
    assert all(row["grads/grad_norm"] == whole["grads/grad_norm"] for row in parts)
    # One part moves where the other stays: their updates add up to the whole.
    updates = [row["grads/update_norm"] for row in parts]
    assert math.hypot(*updates) == pytest.approx(whole["grads/update_norm"], rel=1e-6)


def test_the_norm_of_clamped_weights_is_that_of_every_row_after_the_first() -> None:
    table = Table()
    Trainer(small_config(train__steps=4, opt__weight_norm=7.5)).run(table)
    assert [row["grads/weight_norm"] for row in table.table[1:]] == pytest.approx([7.5] * 3)
    branch = {"branch__parent": "0" * 10, "branch__freeze": ["embedding"]}
    trainer = Trainer(small_config(train__steps=2, opt__weight_norm=7.5, **branch))
    frozen = trainer.model.embed.detach().clone()
    trainer.run()
    assert trainer.model.embed.equal(frozen)
    others = [p.detach().flatten() for p in trainer.updated.values()]
    assert float(torch.cat(others).norm()) == pytest.approx(7.5)


class Witness:
    """A diagnostic that keeps what it was handed."""

    every = 2
    columns = ("seen",)

    def __init__(self) -> None:
        self.previous: dict[str, Tensor] = {}
        self.now: dict[str, Tensor] = {}
        self.dataset: Dataset | None = None

    def measure(
        self, model: Transformer, dataset: Dataset, previous: Mapping[str, Tensor]
    ) -> dict[str, float]:
        self.previous = {name: tensor.clone() for name, tensor in previous.items()}
        self.now = {name: p.detach().clone() for name, p in model.trainable().items()}
        self.dataset = dataset
        return {"seen": 1.0}


def test_a_diagnostic_is_handed_the_weights_before_the_update_and_those_after_it() -> None:
    witness = Witness()
    Trainer(small_config(train__steps=2)).run(periodic=[witness])
    one, two = Trainer(small_config(train__steps=1)), Trainer(small_config(train__steps=2))
    one.run()
    two.run()
    for name, weight in one.model.trainable().items():
        assert witness.previous[name].equal(weight)
    for name, weight in two.model.trainable().items():
        assert witness.now[name].equal(weight)
        assert not witness.previous[name].equal(weight)


def test_a_diagnostic_is_handed_the_data_of_the_run() -> None:
    witness, trainer = Witness(), Trainer(small_config(train__steps=1))
    trainer.run(periodic=[witness])
    assert witness.dataset is trainer.dataset


def test_the_order_of_batches_depends_on_the_seed() -> None:
    batches = {}
    for seed in (1, 2):
        config = small_config(train__seed=seed, data__split_seed=5, train__batch_size=16)
        batches[seed] = Trainer(config)._batch(1)
    again = Trainer(small_config(train__seed=1, data__split_seed=5, train__batch_size=16))
    assert again._batch(1).equal(batches[1])
    assert not batches[1].equal(batches[2])


def test_until_grokked_stops_at_a_multiple_of_50() -> None:
    """Where a resumed run would stop, too: rows are handed over and read there."""
    config = small_config(train__steps=4000, train__until_grokked=True, train__snapshot_every=7)
    trainer = Trainer(config)
    for step in (7, 7 + 500):
        trainer.phases.see_test(step, 1.0)
    trainer.step = 507
    trainer.run()
    assert trainer.step == 550


# Engines.


def test_a_tie_counts_as_right_only_where_the_label_comes_first() -> None:
    """All logits are 0: the largest is the first class's, which is the answer of p of p^2 rows."""
    config = small_config()
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    rows = dataset.rows("all")
    compiled = small_config(run__kernels="numba")
    engines = [PlainEngine(config, model, dataset), FastEngine(config, model, dataset)]
    for engine in (*engines, FastEngine(compiled, model, dataset)):
        assert engine.evaluate(rows).correct == 13


@pytest.mark.parametrize(
    ("ln_type", "kernels"),
    [("off", "torch"), ("pre", "torch"), ("post", "torch"), ("off", "numba"), ("pre", "numba")],
)
def test_the_subtracted_output_is_that_of_the_same_rows_in_every_chunk(
    ln_type: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The initial model's output is subtracted row by row: any rows, in any order, cut into
    chunks of ten."""
    monkeypatch.setattr(fast_engine, "CHUNK", 10)
    config = small_config(
        **{"model__subtract_init": True, "model__ln_type": ln_type},
        **{"train__dtype": "float64", "run__kernels": kernels},
    )
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.trainable().values():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += 0.3 * noise
    rows = dataset.rows("all")[torch.randperm(169, generator=generator)[:97]]
    plain, quick = PlainEngine(config, model, dataset), FastEngine(config, model, dataset)
    expected = plain.step(rows)
    gradients = {name: p.grad.clone() for name, p in model.trainable().items()}
    assert quick.kernels == ("torch" if ln_type == "post" else kernels)
    assert float(quick.step(rows).loss) == pytest.approx(float(expected.loss), rel=1e-11)
    assert quick.evaluate(rows).loss == pytest.approx(float(expected.loss), rel=1e-11)
    for name, parameter in model.trainable().items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-9, atol=1e-11)


# Placements, tasks, split.

NORMED = {  # site by site, as the paper and the models of that name have them
    "off": "",
    "attn-pre-qk": "qk",
    "attn-pre-v": "v",
    "attn-pre": "qk v",
    "mlp-pre": "mlp",
    "pre-qk": "qk mlp",
    "pre-v": "v mlp",
    "pre": "qk v mlp",
    "post": "attn_sum mlp_sum",
    "peri": "qk v attn_out mlp mlp_out",
    "qk-norm": "q k",
    "sphere": "embed attn_sum mlp_sum",
}


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_a_placement_norms_exactly_its_sites(ln_type: str) -> None:
    """Scaling a norm's gain changes what the site reads: as many norms as there are sites, q, k
    and v sharing theirs, and every one of them matters."""
    assert PLACEMENTS[ln_type].sites == set(NORMED[ln_type].split())
    config = small_config(model__ln_type=ln_type, train__dtype="float64")
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    before = model(dataset.tokens)
    norms = [module for module in model.modules() if isinstance(module, Norm)]
    sites = set(NORMED[ln_type].split())
    assert len(norms) == len(sites - {"qk", "v"}) + bool(sites & {"qk", "v"})
    for norm in norms:
        assert norm.gain is not None
        norm.gain.data *= torch.linspace(0.5, 2, len(norm.gain))
        assert not torch.allclose(model(dataset.tokens), before)
        norm.gain.data /= torch.linspace(0.5, 2, len(norm.gain))


@pytest.mark.parametrize("task", TASKS)
def test_only_division_leaves_out_pairs(task: str) -> None:
    """p - 1 values of b where b = 0 would be divided by, else p: parity subtracts even b."""
    pairs = TASKS[task].pairs(7)
    assert len(pairs) == (7 * 6 if task == "divide" else 7 * 7)
    assert pairs == sorted(pairs)


def test_the_number_of_test_rows_is_truncated() -> None:
    """0.55 of 169 pairs is 92.95."""
    dataset = Dataset.of(small_config(data__test_ratio=0.55))
    assert (len(dataset.test), len(dataset.train)) == (92, 77)

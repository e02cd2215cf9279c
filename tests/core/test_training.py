"""The loop: what a row holds, when things happen, and that interruptions leave no trace."""

import math
from collections.abc import Sequence

import pytest
import torch

from grok_cli.core.training import Recorder, Row, Trainer, evaluation_steps, total_norm
from tests.conftest import small_config


class Memory(Recorder):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.table: list[Row] = []
        self.snapshots: list[int] = []
        self.saves: list[int] = []

    def rows(self, rows: Sequence[Row]) -> None:
        self.table += rows

    def snapshot(self, trainer: Trainer) -> None:
        self.snapshots.append(trainer.step)

    def save(self, trainer: Trainer) -> None:
        self.saves.append(trainer.step)


def test_row_holds_train_metrics_before_and_test_metrics_after_the_update() -> None:
    config = small_config(train__steps=1)
    trainer, memory = Trainer(config), Memory()
    fresh = Trainer(config)
    train_before = fresh.engine.evaluate(fresh.dataset.train)
    weights_before = [p.clone() for p in trainer.parameters]
    trainer.run(memory)
    row = memory.table[0]
    assert row["train/loss"] == pytest.approx(train_before.loss.item(), rel=1e-6)
    assert row["train/accuracy"] == train_before.correct.item() / len(fresh.dataset.train)
    test_after = trainer.engine.evaluate(trainer.dataset.test)
    assert row["test/loss"] == test_after.loss.item()
    assert row["test/accuracy"] == test_after.correct.item() / len(trainer.dataset.test)
    moved = [
        after.detach() - b for after, b in zip(trainer.parameters, weights_before, strict=True)
    ]
    assert row["grads/weight_norm"] == pytest.approx(total_norm(weights_before).item())
    assert row["grads/update_norm"] == pytest.approx(total_norm(moved).item(), rel=1e-5)


def test_update_is_adamw_with_decoupled_decay() -> None:
    config = small_config(train__steps=1, train__dtype="float64")
    trainer = Trainer(config)
    before = {name: p.detach().clone() for name, p in trainer.model.trainable().items()}
    trainer.engine.step(trainer.dataset.train)
    gradients = {name: p.grad for name, p in trainer.model.trainable().items()}
    trainer.run()
    opt = config.opt
    for name, after in trainer.model.trainable().items():
        gradient = gradients[name]
        assert gradient is not None
        # First step: the bias-corrected moments are the gradient and its square.
        expected = before[name] * (1 - opt.learning_rate * opt.weight_decay)
        expected -= opt.learning_rate * gradient / (gradient.abs() + opt.eps)
        torch.testing.assert_close(after.detach(), expected)


def test_total_norm_is_the_euclidean_norm_of_all_entries() -> None:
    assert total_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]).item() == 5.0


def test_snapshots_and_saves_come_on_their_steps_and_at_the_end() -> None:
    memory = Memory()
    Trainer(small_config(train__steps=47)).run(memory)
    assert memory.snapshots == [0, 1, 10, 20, 40, 47]
    assert memory.saves == [20, 40, 47]


def test_evaluations_are_even_or_evenly_spaced_in_the_logarithm() -> None:
    assert list(evaluation_steps(small_config(train__steps=35))) == [10, 20, 30]
    log = small_config(train__steps=1500, train__eval_spacing="log", train__evals_per_decade=2)
    assert evaluation_steps(log) == {1, 3, 10, 32, 100, 316, 1000}


@pytest.mark.parametrize("batch_size", [None, 16])
def test_interrupted_run_has_the_rows_of_an_uninterrupted_one(batch_size: int | None) -> None:
    config = small_config(train__steps=70, train__batch_size=batch_size)
    whole = Memory()
    Trainer(config).run(whole)
    pieces, state = Memory(), None
    for stop_at in (7, 33, 50, 70):
        trainer = Trainer(config)
        if state is not None:
            trainer.load(state)
        trainer.run(pieces, should_stop=lambda t=trainer, s=stop_at: t.step == s)
        state = trainer.state()
    assert pieces.table == whole.table
    assert pieces.snapshots == whole.snapshots


def test_batches_of_an_epoch_are_all_training_rows_once() -> None:
    trainer = Trainer(small_config(train__batch_size=16))
    n_batches = math.ceil(len(trainer.dataset.train) / 16)
    epochs = [
        torch.cat([trainer._batch(epoch * n_batches + i + 1) for i in range(n_batches)])
        for epoch in range(2)
    ]
    assert all(rows.sort().values.equal(trainer.dataset.train.sort().values) for rows in epochs)
    assert not epochs[0].equal(epochs[1])


def test_warmup_raises_the_learning_rate_linearly() -> None:
    trainer = Trainer(small_config(opt__warmup_steps=10))
    rates = [trainer._learning_rate(step) for step in (1, 5, 10, 11)]
    assert rates == pytest.approx([1e-4, 5e-4, 1e-3, 1e-3])


def test_until_grokked_stops_after_sustained_generalisation() -> None:
    # A test set of one pair, whose answer the weights soon give by chance or by learning.
    config = small_config(train__steps=4000, train__until_grokked=True, data__test_ratio=0.01)
    trainer, memory = Trainer(config), Memory()
    outcome = trainer.run(memory)
    assert outcome.status == "finished"
    assert trainer.phases.sustained is not None
    assert trainer.phases.sustained + 500 <= trainer.step < trainer.phases.sustained + 560
    assert memory.snapshots[-1] == memory.saves[-1] == trainer.step


def test_diverged_run_keeps_its_rows_up_to_the_broken_one() -> None:
    trainer, memory = Trainer(small_config(opt__learning_rate=1e30)), Memory()
    outcome = trainer.run(memory)
    assert outcome.status == "diverged"
    assert "learning_rate" in outcome.message
    assert memory.table[-1]["step"] == trainer.step
    assert not all(math.isfinite(value) for value in memory.table[-1].values())
    assert all(math.isfinite(value) for row in memory.table[:-1] for value in row.values())

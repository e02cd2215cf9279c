"""The loop: what a row holds, when things happen, and that interruptions leave no trace."""

import functools
import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok_cli.core import training
from grok_cli.core.training import (
    Outcome,
    Recorder,
    Recorders,
    Row,
    Trainer,
    evaluation_steps,
    find_device,
    is_finite,
    total_norm,
)
from grok_cli.errors import UsageError
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
    Trainer(small_config(train__steps=57)).run(memory)
    assert memory.snapshots == [0, 1, 10, 20, 40, 50, 57]
    assert memory.saves == [20, 40, 57]


@pytest.mark.parametrize(
    ("seconds", "ends"), [(0.0, [1, 10, 20, 40, 50, 57]), (1.1, list(range(1, 58)))]
)
def test_rows_are_handed_over_with_what_is_kept_and_after_a_second(
    seconds: float, ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on by so many seconds each time that it is read."""
    clock = itertools.count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: seconds * next(clock)))
    handed_over: list[int] = []
    listener = Recorder()
    monkeypatch.setattr(listener, "rows", lambda rows: handed_over.append(int(rows[-1]["step"])))
    Trainer(small_config(data__modulus=7, train__steps=57)).run(listener)
    assert handed_over == ends


def test_evaluations_are_even_or_evenly_spaced_in_the_logarithm() -> None:
    assert list(evaluation_steps(small_config(train__steps=35))) == [10, 20, 30]
    log = small_config(train__steps=1500, train__eval_spacing="log", train__evals_per_decade=2)
    assert evaluation_steps(log) == {1, 3, 10, 32, 100, 316, 1000}


@functools.cache
def unbroken(batch_size: int | None) -> tuple[Trainer, Memory]:
    config = small_config(data__modulus=7, train__steps=55, train__batch_size=batch_size)
    trainer, memory = Trainer(config), Memory()
    trainer.run(memory)
    return trainer, memory


@given(stops=st.sets(st.integers(1, 54), max_size=4), batch_size=st.sampled_from([None, 16]))
@settings(max_examples=4, deadline=None, derandomize=True)
def test_a_run_split_at_any_steps_equals_the_whole(stops: set[int], batch_size: int | None) -> None:
    whole, remembered = unbroken(batch_size)
    pieces, state = Memory(), Trainer(whole.config).state()
    for stop_at in [*sorted(stops), 55]:
        trainer = Trainer(whole.config)
        trainer.load(state)
        trainer.run(pieces, should_stop=lambda t=trainer, s=stop_at: t.step == s)
        state = trainer.state()
    assert pieces.table == remembered.table
    assert list(dict.fromkeys(pieces.snapshots)) == remembered.snapshots
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, state["weights"][name]), name


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


@pytest.mark.slow
def test_until_grokked_stops_after_sustained_generalisation() -> None:
    # A test set of one pair, whose answer the weights soon give by chance or by learning.
    config = small_config(
        train__steps=4000,
        train__until_grokked=True,
        data__modulus=5,
        data__test_ratio=0.05,
        opt__learning_rate=0.01,
    )
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


def test_first_and_last_step_are_evaluated_besides_every_tenth() -> None:
    memory = Memory()
    Trainer(small_config(train__steps=23)).run(memory)
    assert [row["step"] for row in memory.table] == list(range(1, 24))
    assert [row["step"] for row in memory.table if "test/loss" in row] == [1, 10, 20, 23]
    assert all(("test/loss" in row) == ("test/accuracy" in row) for row in memory.table)


class Counted:
    """A diagnostic that notes when it was measured."""

    every = 20
    columns = ("seen",)

    def measure(self, *_: object) -> dict[str, float]:
        return dict.fromkeys(self.columns, 7.0)


class Told(Memory):
    """Notes all that it is told, in order."""

    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self.log = log

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self.log.append(("start", trainer.step, list(columns)))

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self.log.append(("finish", trainer.step, outcome.status, outcome.message))


def test_a_diagnostic_is_measured_at_step_1_and_at_multiples_of_its_period() -> None:
    log: list[object] = []
    told = Told(log)
    other = Counted()
    other.every, other.columns = 10, ("other",)
    Trainer(small_config(train__steps=45)).run(told, [other, Counted()])
    for column, steps in (("seen", [1, 20, 40]), ("other", [1, 10, 20, 30, 40])):
        assert [row["step"] for row in told.table if column in row] == steps
        assert told.table[0][column] == 7
    columns = [
        *("train/loss", "train/accuracy"),
        *("grads/weight_norm", "grads/grad_norm", "grads/update_norm"),
        *("test/loss", "test/accuracy", "other", "seen"),
    ]
    assert log == [("start", 0, columns), ("finish", 45, "finished", "")]


def test_a_run_that_has_diverged_is_not_measured() -> None:
    told = Told([])
    every_step = Counted()
    every_step.every = 1
    outcome = Trainer(small_config(opt__learning_rate=1e30)).run(told, [every_step])
    assert outcome.status == "diverged"
    assert [row["step"] for row in told.table if "seen" not in row] == [told.table[-1]["step"]]


def test_training_metrics_of_a_mini_batch_are_those_of_its_rows() -> None:
    config = small_config(train__steps=3, train__batch_size=16)
    memory, twin = Memory(), Trainer(config)
    Trainer(config).run(memory)
    for row in memory.table:
        rows = twin._batch(int(row["step"]))
        score = twin.engine.evaluate(rows)
        assert row["train/loss"] == pytest.approx(score.loss.item(), rel=1e-6)
        assert row["train/accuracy"] * len(rows) == pytest.approx(score.correct.item())
        twin.engine.step(rows)
        twin.optimizer.step(1e-3)


def test_several_recorders_are_told_the_same_in_order() -> None:
    log: list[object] = []
    both = Told(log), Told(log)
    Trainer(small_config(train__steps=25)).run(Recorders(*both))
    assert [entry[0] for entry in log if isinstance(entry, tuple)] == ["start"] * 2 + ["finish"] * 2
    assert both[0].table == both[1].table != []
    assert both[0].snapshots == both[1].snapshots == [0, 1, 10, 20, 25]
    assert both[0].saves == both[1].saves == [20, 25]


def test_an_interrupted_run_is_saved_and_says_where() -> None:
    log: list[object] = []
    told, trainer = Told(log), Trainer(small_config())
    outcome = trainer.run(told, should_stop=lambda: trainer.step == 7)
    assert (outcome.status, outcome.message) == ("interrupted", "interrupted at step 7")
    assert (told.saves, told.snapshots) == ([7], [0, 1])
    assert [row["step"] for row in told.table] == [1, 2, 3, 4, 5, 6, 7]
    last = Trainer(small_config(train__steps=7))
    assert last.run(should_stop=lambda: last.step == 7).status == "finished"


@pytest.mark.parametrize("step", [-1, 61, True, "5", None])
def test_a_state_of_no_step_of_the_run_is_refused(step: object) -> None:
    trainer = Trainer(small_config())
    with pytest.raises(ValueError, match=r"step: expected a number from 0 to 60, found ") as caught:
        trainer.load(trainer.state() | {"step": step})
    assert repr(step) in str(caught.value)
    for end in (0, 60):
        trainer.load(trainer.state() | {"step": end})
        assert trainer.step == end


def test_a_run_that_goes_on_knows_when_its_phases_began() -> None:
    begun, again = Trainer(small_config()), Trainer(small_config())
    begun.step = 7
    begun.phases.see_train(3, 1.0)
    begun.phases.see_test(7, 1.0)
    again.load(begun.state())
    assert again.phases == begun.phases
    assert (again.phases.memorised, again.phases.generalised) == (3, 7)


def test_a_batch_as_large_as_the_training_set_is_all_of_it_in_its_order() -> None:
    whole = Trainer(small_config()).dataset.train
    for size in (len(whole), len(whole) + 1):
        assert Trainer(small_config(train__batch_size=size))._batch(1).equal(whole)
    trainer = Trainer(small_config(train__batch_size=len(whole) - 1))
    assert [len(trainer._batch(step)) for step in (1, 2)] == [len(whole) - 1, 1]


def test_devices_that_are_not_there_are_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def have(gpus: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    have(0)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError) as caught:
        find_device("cuda")
    assert str(caught.value) == (
        "run.device: cuda, but no GPU here that PyTorch can use; expected one of auto, cpu"
    )
    have(2)
    assert find_device("auto").type == find_device("cuda").type == "cuda"
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError) as caught:
        find_device("cuda:2")
    assert str(caught.value) == (
        "run.device: cuda:2, but 2 GPUs here; expected one of auto, cpu, cuda:0, cuda:1"
    )


@pytest.mark.parametrize("name", ["train/loss", "grads/update_norm", "test/loss"])
def test_a_row_is_broken_when_a_loss_or_the_update_is_not_finite(name: str) -> None:
    row = {"train/loss": 1.0, "grads/update_norm": 1.0, "test/loss": 1.0, "seen": math.nan}
    assert is_finite(row)
    assert is_finite({"train/loss": 1.0})
    for value in (math.nan, math.inf, -math.inf):
        assert not is_finite(row | {name: value})

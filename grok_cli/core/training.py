"""The training loop.

A row of the metrics with step s holds training metrics at the weights before update s and test
metrics and diagnostics at the weights after it, as in the published runs:

    train/loss, test/loss          mean cross-entropy in nats
    train/accuracy, test/accuracy  rows answered correctly / rows
    grads/weight_norm              Euclidean norm of all trainable parameters, before the update
    grads/grad_norm                Euclidean norm of the gradient of train/loss
    grads/update_norm              Euclidean norm of (parameters after - before the update)

Values stay on the device until rows are handed over, so that the loop never waits for a GPU.
"""

import hashlib
import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines import make_engine
from grok_cli.core.initial import initial_model
from grok_cli.core.interventions import parameters_named
from grok_cli.core.model import Transformer
from grok_cli.core.optimizers import make_optimizer
from grok_cli.core.phases import Phases
from grok_cli.core.placement import PLACEMENTS
from grok_cli.core.process import one_thread
from grok_cli.core.state import check_alike, check_phases
from grok_cli.errors import UsageError

TRAIN_COLUMNS = ("train/loss", "train/accuracy")
NORM_COLUMNS = ("grads/weight_norm", "grads/grad_norm", "grads/update_norm")
TEST_COLUMNS = ("test/loss", "test/accuracy")
EARLY_SNAPSHOTS = (0, 1, 10, 50)
HAND_OVER_STEPS = 50  # rows are handed over, and stops decided, at multiples of this
HAND_OVER_SECONDS = 1.0  # ... and handed over after this long, for whoever watches

Row = dict[str, float]


@runtime_checkable
class Periodic(Protocol):
    """A diagnostic on a schedule: fills `columns` at step 1 and at every multiple of `every`."""

    @property
    def every(self) -> int: ...

    @property
    def columns(self) -> Sequence[str]: ...

    def measure(
        self, model: Transformer, dataset: Dataset, previous: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """The columns' values, given the trainable weights before the update too. Must leave the
        model as it is."""


@dataclass(frozen=True)
class Outcome:
    """How training ended: status "finished", "interrupted" or "diverged", and why."""

    status: str
    message: str = ""


class Recorder:
    """Hears what happens in training. This one ignores it; subclasses keep or show it."""

    def start(self, trainer: "Trainer", columns: Sequence[str]) -> None:
        """Training is about to go on from `trainer.step`."""

    def rows(self, rows: Sequence[Row]) -> None:
        """New rows of metrics, in order of their step."""

    def snapshot(self, trainer: "Trainer") -> None:
        """The weights of this step are to be kept."""

    def save(self, trainer: "Trainer") -> None:
        """The state of this step is to be kept until the next."""

    def finish(self, trainer: "Trainer", outcome: Outcome) -> None:
        """Training has ended."""


class Recorders(Recorder):
    """Several recorders as one, told in order."""

    def __init__(self, *recorders: Recorder) -> None:
        self.recorders = recorders

    def start(self, trainer: "Trainer", columns: Sequence[str]) -> None:
        for recorder in self.recorders:
            recorder.start(trainer, columns)

    def rows(self, rows: Sequence[Row]) -> None:
        for recorder in self.recorders:
            recorder.rows(rows)

    def snapshot(self, trainer: "Trainer") -> None:
        for recorder in self.recorders:
            recorder.snapshot(trainer)

    def save(self, trainer: "Trainer") -> None:
        for recorder in self.recorders:
            recorder.save(trainer)

    def finish(self, trainer: "Trainer", outcome: Outcome) -> None:
        for recorder in self.recorders:
            recorder.finish(trainer, outcome)


class Trainer:
    """A run in memory: data set, model, optimiser, and how far it has come.

    Attributes:
        step: number of updates made.
        updated: the parameters that the optimiser changes, by name: all that are not frozen.
        phases: the phases found so far.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = find_device(config.run.device)
        self.dataset = Dataset.of(config, self.device)
        self.model = initial_model(config, self.dataset.vocab).to(self.device)
        self.engine = make_engine(config, self.model, self.dataset)
        self.parameters: list[Tensor] = list(self.model.trainable().values())
        frozen = parameters_named(config.branch.freeze, self.model.trainable(), "branch.freeze")
        self.updated = {n: p for n, p in self.model.trainable().items() if n not in frozen}
        if not self.updated:
            raise UsageError(
                "branch.freeze: nothing is left to train; expected some parameters less"
            )
        self.optimizer = make_optimizer(self.updated, config.opt)
        self.phases = Phases()
        self.step = 0
        self._epoch: tuple[int, Tensor] | None = None

    def state(self) -> dict[str, Any]:
        """All that a run needs to go on, as tensors, numbers and strings."""
        return {
            "step": self.step,
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state(),
            "phases": self.phases.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same configuration.

        Raises:
            ValueError: it is none; the message names what is wrong. Nothing is loaded.
        """
        step, steps = state["step"], self.config.train.steps
        if type(step) is not int or not 0 <= step <= steps:
            raise ValueError(f"step: expected a number from 0 to {steps}, found {step!r:.40}")
        mine = self.state()
        for part in ("weights", "optimizer"):
            check_alike(state[part], mine[part], part)
        check_phases(state["phases"], step)
        self.step = step
        self.model.load_state_dict(state["weights"])
        self.optimizer.load(state["optimizer"])
        self.phases = Phases(**state["phases"])

    def run(
        self,
        recorder: Recorder | None = None,
        periodic: Sequence[Periodic] = (),
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Train until the last step, sustained generalisation (`train.until_grokked`), divergence,
        or `should_stop()`.

        The rows, snapshots and saves that the recorder gets do not depend on where a run was
        interrupted and resumed.
        """
        config, recorder = self.config.train, recorder or Recorder()
        columns = [*TRAIN_COLUMNS, *NORM_COLUMNS, *TEST_COLUMNS]
        columns += [column for one in periodic for column in one.columns]
        evaluations = evaluation_steps(self.config)
        before = [torch.empty_like(p) for p in self.parameters]
        pending: list[dict[str, Tensor | float]] = []
        handed_over = time.monotonic()

        recorder.start(self, columns)
        if self.step == 0:
            recorder.snapshot(self)
        outcome = Outcome("finished")

        while not self._is_done():
            self.step += 1
            step = self.step

            # One update. Metrics of the training rows are those before it.
            rows = self._batch(step)
            row: dict[str, Tensor | float] = {"step": step}
            row["grads/weight_norm"] = total_norm(self.parameters)
            score = self.engine.step(rows)
            row["train/loss"] = score.loss
            row["train/accuracy"] = score.correct.double() / len(rows)
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            row["grads/grad_norm"] = total_norm(gradients)
            with torch.no_grad():
                torch._foreach_copy_(before, self.parameters)
                self.optimizer.step(self._learning_rate(step))
                row["grads/update_norm"] = total_norm(torch._foreach_sub(self.parameters, before))

            # Once in a while: the test rows, at the new weights.
            if step in evaluations or step in (1, config.steps):
                score = self.engine.evaluate(self.dataset.test)
                row["test/loss"] = score.loss
                row["test/accuracy"] = score.correct.double() / len(self.dataset.test)

            # Once in a while: diagnostics, at the new weights, unless the run has diverged.
            due = [one for one in periodic if step == 1 or step % one.every == 0]
            if due and is_finite(*to_numbers([row])):
                previous = dict(zip(self.model.trainable(), before, strict=True))
                for one in due:
                    row |= one.measure(self.model, self.dataset, previous)
            pending.append(row)

            # Once in a while: hand the rows over, and see what they say.
            stop = should_stop()
            keep = step in EARLY_SNAPSHOTS or step % config.snapshot_every == 0
            save = step % self.config.run.save_every == 0 or stop
            save = save or keeps_state(self.config, step)
            decide = step % HAND_OVER_STEPS == 0 or step == config.steps
            late = time.monotonic() - handed_over > HAND_OVER_SECONDS
            if decide or keep or save or late:
                broken = self._hand_over(pending, recorder)
                pending, handed_over = [], time.monotonic()
                if broken is not None:
                    outcome = Outcome("diverged", divergence_hint(self.config, broken))
                    break

            # Once in a while: keep the weights, and the state to resume from.
            done = self._is_done()
            if keep or done:
                recorder.snapshot(self)
            if save or done:
                recorder.save(self)
            if stop and not done:
                outcome = Outcome("interrupted", f"interrupted at step {step}")
                break

        recorder.finish(self, outcome)
        return outcome

    def _is_done(self) -> bool:
        if self.step >= self.config.train.steps:
            return True
        decide = self.step % HAND_OVER_STEPS == 0  # so that a resumed run stops at the same step
        return self.config.train.until_grokked and decide and self.phases.sustained is not None

    def _hand_over(
        self, pending: list[dict[str, Tensor | float]], recorder: Recorder
    ) -> int | None:
        """Give new rows to the phases and the recorder, up to the first that is not finite.

        Returns:
            The step of that row, where the run diverged, or None.
        """
        rows = to_numbers(pending)
        broken = next((i for i, row in enumerate(rows) if not is_finite(row)), None)
        if broken is not None:
            rows = rows[: broken + 1]
            self.step = int(rows[-1]["step"])
        for row in rows:
            self.phases.see_train(int(row["step"]), row["train/accuracy"])
            if "test/accuracy" in row:
                self.phases.see_test(int(row["step"]), row["test/accuracy"])
        recorder.rows(rows)
        return None if broken is None else self.step

    def _learning_rate(self, step: int) -> float:
        warmup = self.config.opt.warmup_steps
        return self.config.opt.learning_rate * (min(1.0, step / warmup) if warmup else 1.0)

    def _batch(self, step: int) -> Int[Tensor, " batch"]:
        """Rows of a step. An epoch's order depends on seed and epoch alone, so there is no
        generator state to keep."""
        train, size = self.dataset.train, self.config.train.batch_size
        if size is None or size >= len(train):
            return train
        epoch, batch = divmod(step - 1, math.ceil(len(train) / size))
        if self._epoch is None or self._epoch[0] != epoch:
            order = torch.randperm(
                len(train), generator=order_of(self.config.train.seed, epoch)
            ).to(self.device)
            self._epoch = epoch, train[order]
        return self._epoch[1][batch * size : (batch + 1) * size]


def keeps_state(config: Config, step: int) -> bool:
    """Whether the state of a step is kept for branches."""
    run = config.run
    return step in run.state_at or (run.state_every is not None and step % run.state_every == 0)


def order_of(seed: int, epoch: int) -> torch.Generator:
    """The generator of an epoch's order. PyTorch's on a CPU takes 32 bits of its seed and ignores
    the rest, so that both numbers are hashed into those."""
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def find_device(name: str) -> torch.device:
    """The device that `run.device` means on this machine.

    Raises:
        UsageError: there is no such device here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        there = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(gpus))])
        found = "no GPU here that PyTorch can use" if gpus == 0 else f"{gpus} GPUs here"
        raise UsageError(f"run.device: {name}, but {found}; expected one of {there}")
    return device


def evaluation_steps(config: Config) -> Container[int]:
    """The steps after which the test rows are evaluated, besides the first and the last."""
    train = config.train
    if train.eval_spacing == "linear":
        return range(train.eval_every, train.steps, train.eval_every)
    count = math.ceil(math.log10(train.steps) * train.evals_per_decade)
    return {round(10 ** (i / train.evals_per_decade)) for i in range(count)}


@torch.no_grad()
@one_thread()
def total_norm(tensors: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Euclidean norm of all entries of all tensors."""
    norms: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return norms


def to_numbers(rows: list[dict[str, Tensor | float]]) -> list[Row]:
    """The rows with Python numbers, fetched from the device in one transfer."""
    tensors = [v.double() for row in rows for v in row.values() if isinstance(v, Tensor)]
    numbers = iter(torch.stack(tensors).tolist())
    return [{k: next(numbers) if isinstance(v, Tensor) else v for k, v in r.items()} for r in rows]


def is_finite(row: Row) -> bool:
    watched = ("train/loss", "grads/update_norm", "test/loss")
    return all(math.isfinite(row[name]) for name in watched if name in row)


def divergence_hint(config: Config, step: int) -> str:
    if config.opt.eps == 0:
        hint = "opt.eps is 0, which divides 0 by 0 where a gradient is zero; try opt.eps=1e-8"
    elif step == 1 and config.model.norm_eps == 0 and PLACEMENTS[config.model.ln_type].sites:
        hint = "a norm may divide by a variance of 0; try model.norm_eps=1e-5"
    else:
        hint = f"try a smaller opt.learning_rate than {config.opt.learning_rate:g}"
    return f"a loss or an update is not finite at step {step}: {hint}"

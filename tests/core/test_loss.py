"""Cross-entropy at any size."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from grok_cli.core.config import TrainConfig
from grok_cli.core.data import Dataset
from grok_cli.core.engines import PlainEngine
from grok_cli.core.initial import initial_model
from grok_cli.core.loss import correct_rows, losses_of, row_losses
from tests.conftest import small_config

LABEL = torch.tensor([0])


def loss_of(logits: list[float], dtype: torch.dtype = torch.float64) -> float:
    return row_losses(torch.tensor([logits]), LABEL, dtype).item()


def test_loss_of_equal_logits_is_log_of_classes() -> None:
    assert loss_of([3.0] * 5) == pytest.approx(math.log(5), rel=1e-14)


@pytest.mark.parametrize("gap", [10.0, 30.0, 100.0, 600.0])
def test_tiny_loss_keeps_its_relative_accuracy(gap: float) -> None:
    # Two classes: the loss is log(1 + e^-gap), which log-softmax in float64 rounds to 0 at 40.
    assert loss_of([gap, 0.0]) == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-14)


def test_loss_of_1e_minus_12_is_exact() -> None:
    gap = -math.log(math.expm1(1e-12))
    exact = torch.tensor([[gap, 0.0]], dtype=torch.float64)
    assert row_losses(exact, LABEL, torch.float64).item() == pytest.approx(1e-12, rel=1e-12)


def test_huge_loss_is_the_gap() -> None:
    assert loss_of([0.0, 1e4]) == 1e4
    assert loss_of([-3e4, 3e4], torch.float32) == 6e4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_softmax_minus_one_hot(dtype: torch.dtype) -> None:
    logits = torch.tensor([[2.0, -1.0, 40.0, 0.5]], dtype=dtype, requires_grad=True)
    row_losses(logits, LABEL, dtype).sum().backward()
    expected = logits.detach().softmax(1) - torch.eye(4, dtype=dtype)[:1]
    torch.testing.assert_close(logits.grad, expected)


def test_gradient_survives_extreme_logits() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]], requires_grad=True)
    row_losses(logits, torch.tensor([0, 0]), torch.float64).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0, 0], [-1, 0, 1]]


def test_squared_loss_is_the_mean_over_classes() -> None:
    losses = losses_of(TrainConfig(loss="mse"))
    found = losses(torch.tensor([[0.5, 2.0, -1.0]]), LABEL, torch.float64)
    assert found.tolist() == [(0.25 + 4 + 1) / 3]  # targets 1, 0, 0


def test_stablemax_is_the_published_formula() -> None:
    """s(1) = 2, s(0) = 1, s(-3) = 1/4."""
    losses = losses_of(TrainConfig(loss="stablemax"))
    logits = torch.tensor([[1.0, 0.0, -3.0], [-3.0, 1.0, 0.0]])
    found = losses(logits, torch.tensor([0, 0]), torch.float64).tolist()
    assert found == pytest.approx([-math.log(2 / 3.25), -math.log(0.25 / 3.25)], rel=1e-14)


def test_stablemax_has_a_finite_gradient_at_1() -> None:
    """Where 1 / (1 - x) of the branch that is not taken would divide by 0."""
    logits = torch.tensor([[1.0, -1.0]], requires_grad=True)
    losses_of(TrainConfig(loss="stablemax"))(logits, LABEL, torch.float64).sum().backward()
    assert logits.grad is not None
    # loss = log(s1 + s2) - log(s1), s1 = 2 (slope 1), s2 = 1/2 (slope 1/4)
    assert logits.grad[0].tolist() == pytest.approx([1 / 2.5 - 1 / 2, 0.25 / 2.5], rel=1e-6)


def test_smoothed_label_is_shared_by_all_classes() -> None:
    losses = losses_of(TrainConfig(label_smoothing=0.3))
    logits = torch.tensor([[math.log(4), 0.0, 0.0]], dtype=torch.float64)
    # probabilities 2/3, 1/6, 1/6; the target is 0.7 + 0.1 at the label and 0.1 for the others
    expected = -(0.8 * math.log(2 / 3) + 0.2 * math.log(1 / 6))
    assert losses(logits, LABEL, torch.float64).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "settings", [{}, {"loss": "mse"}, {"loss": "stablemax"}, {"label_smoothing": 0.3}], ids=str
)
def test_a_loss_does_not_depend_on_what_classes_are_called(settings: dict[str, Any]) -> None:
    """Class c is called new[c]; each row has a loss of its own, which its label decides."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    labels, new = torch.tensor([0, 1, 2, 3, 4, 1]), torch.tensor([3, 0, 4, 1, 2])
    losses = losses_of(TrainConfig.model_validate(settings))
    found = losses(logits, labels, torch.float64)
    renamed = torch.empty_like(logits)
    renamed[:, new] = logits
    torch.testing.assert_close(losses(renamed, new[labels], torch.float64), found)
    assert not losses(logits, labels.roll(1), torch.float64).isclose(found).any()


def test_smoothing_of_a_loss_without_labels_is_refused() -> None:
    with pytest.raises(ValidationError, match="label_smoothing: not used by"):
        TrainConfig(loss="mse", label_smoothing=0.1)


def test_accuracy_counts_rows() -> None:
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    assert correct_rows(logits, torch.tensor([0, 0, 1])).item() == 1


def test_loss_at_init_is_log_of_classes() -> None:
    config = small_config()
    dataset = Dataset.of(config)
    engine = PlainEngine(config, initial_model(config, dataset.vocab), dataset)
    score = engine.evaluate(dataset.test)
    assert score.loss.item() == pytest.approx(math.log(dataset.vocab), rel=0.05)

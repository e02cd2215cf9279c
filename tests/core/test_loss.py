"""Cross-entropy at any size."""

import math

import pytest
import torch

from grok_cli.core.data import Dataset
from grok_cli.core.engines import PlainEngine
from grok_cli.core.initial import initial_model
from grok_cli.core.loss import correct_rows, row_losses
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


def test_accuracy_counts_rows() -> None:
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    assert correct_rows(logits, torch.tensor([0, 0, 1])).item() == 1


def test_loss_at_init_is_log_of_classes() -> None:
    config = small_config()
    dataset = Dataset.of(config)
    engine = PlainEngine(config, initial_model(config, dataset.vocab), dataset)
    score = engine.evaluate(dataset.test)
    assert score.loss.item() == pytest.approx(math.log(dataset.vocab), rel=0.05)

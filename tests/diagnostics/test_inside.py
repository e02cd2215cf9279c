"""A look into one network: the one that adds as a clock does is known on paper."""

import math

import numpy as np
import pytest
import torch

from grok_cli.diagnostics.findings import findings_of
from grok_cli.diagnostics.inside import Inside, by_distance, key_planes, look, on_grid, plane
from grok_cli.diagnostics.subject import Subject
from tests.diagnostics.builders import CLOCK_FREQUENCIES, clock, small_subject


@pytest.fixture(scope="module")
def inside() -> Inside:
    return look(Subject(*clock()))


def test_the_clock_has_a_circle_in_the_plane_of_each_of_its_frequencies(inside: Inside) -> None:
    """Two circles of equal size: each holds half of the embedding, at radius sqrt(1 / 2)."""
    assert set(inside.keys[:2]) == set(CLOCK_FREQUENCIES)
    for key, points in zip(inside.keys[:2], inside.circles, strict=False):
        radius = points.norm(dim=1)
        assert torch.allclose(radius, torch.full_like(radius, math.sqrt(0.5)), atol=1e-5)
        angle = torch.atan2(points[:, 1], points[:, 0])
        turned = (angle - angle.roll(1)) % (2 * math.pi)
        assert torch.allclose(turned, turned.new_tensor(2 * math.pi * key / inside.p), atol=1e-4)


def test_the_clock_is_right_everywhere_and_its_logits_are_its_waves(inside: Inside) -> None:
    assert inside.right.min() == 1
    assert inside.accuracy == {"train": 1.0, "test": 1.0}
    assert inside.phase == "generalised"
    d = torch.arange(inside.p)
    waves = sum((2 * math.pi * k * d / inside.p).cos() for k in CLOCK_FREQUENCIES)
    assert torch.allclose(inside.by_distance, 20 * waves, atol=1e-2)


def test_the_clock_copies_a_with_one_head_and_b_with_the_other(inside: Inside) -> None:
    to_a, to_b = inside.attention[0, 0], inside.attention[0, 1]
    assert torch.allclose(to_a[0], torch.ones(()).double(), atol=1e-6)
    assert torch.allclose(to_b[1], torch.ones(()).double(), atol=1e-6)
    assert all(scores.isfinite().all() for scores in inside.scores())  # of weights of 0, too


@pytest.mark.parametrize("task", ["add", "divide"])
def test_attention_of_the_first_layer_is_the_softmax_of_a_score_of_a_and_one_of_b(
    task: str,
) -> None:
    seen = look(small_subject(n_layers=2, task=task))
    first, second = seen.scores()
    p, heads = seen.p, len(first)
    scores = torch.zeros(heads, 3, p, p, dtype=first.dtype)
    scores[:, 0] = first[:, :, None]
    scores[:, 1] = second[:, None]
    assert first.isfinite().all()  # also where there is no pair (a, 0)
    assert torch.allclose(scores.softmax(dim=1), seen.attention[0], atol=1e-12, equal_nan=True)
    assert seen.attention.shape == (2, heads, 3, p, p)


def test_waves_are_those_of_embedding_and_unembedding_and_the_largest_come_first() -> None:
    subject = small_subject(p=11)
    seen = look(subject)
    for found, table in ((seen.embed, subject.model.embed), (seen.unembed, subject.model.unembed)):
        assert table is not None
        norms = np.linalg.norm(np.fft.rfft(table[:11].detach().numpy(), axis=0)[1:], axis=1)
        assert found.tolist() == pytest.approx(norms.tolist(), rel=1e-5)
    order = sorted(range(1, 6), key=lambda k: -float(seen.embed[k - 1]))
    assert seen.keys == tuple(order[:3])
    asked = look(subject, keys=[4, 2])
    assert asked.keys == (4, 2)
    centred = subject.model.embed[:11].detach()
    assert torch.allclose(asked.circles[1], plane(centred, 2).float())


def test_training_pairs_are_marked_and_pairs_without_an_answer_stay_empty() -> None:
    subject = small_subject(task="divide")
    seen = look(subject)
    assert int(seen.train.sum()) == len(subject.dataset.train)
    assert seen.right[:, 0].isnan().all()
    assert seen.attention[..., 0].isnan().all()
    assert not on_grid(subject, torch.ones(len(subject.dataset.tokens)))[:, 1:].isnan().any()


def test_losses_and_accuracies_are_those_of_the_findings() -> None:
    subject = small_subject()
    seen, found = look(subject), findings_of(subject)
    assert seen.accuracy == pytest.approx(found.accuracy)
    assert seen.loss == pytest.approx(found.loss)
    assert seen.phase == found.phase


def test_a_wave_of_equal_amplitudes_is_a_circle_and_others_are_seen_as_they_are() -> None:
    p, k = 11, 3
    angle = 2 * torch.pi * k * torch.arange(p).double() / p
    table = torch.zeros(p, 4).double()
    table[:, 0], table[:, 1] = 2 * angle.cos(), 2 * angle.sin()
    assert torch.allclose(plane(table, k), torch.stack([angle.cos(), angle.sin()], 1), atol=1e-9)
    assert plane(table, 4).abs().max() == 0  # there is no such wave
    table[:, 1] /= 2  # an ellipse of axes 2 and 1
    radii = plane(table, k).norm(dim=1)
    assert radii.max() / radii.min() == pytest.approx(2, rel=0.1)


def test_the_highest_frequency_of_an_even_p_lies_on_a_line() -> None:
    """(-1)^a beside a circle: each half of the table's mean squared norm, which is 2."""
    angle = torch.pi * torch.arange(8).double() / 4
    table = torch.stack([(-1.0) ** torch.arange(8), angle.cos(), angle.sin()], dim=1)
    seen = plane(table, 4)
    assert torch.allclose(seen[:, 0].abs(), torch.full((8,), 0.5**0.5).double())
    assert torch.equal(seen[1:, 0].sign(), -seen[:-1, 0].sign())
    assert seen[:, 1].abs().max() < 1e-12


def test_planes_are_of_the_frequencies_that_hold_most_of_the_variance() -> None:
    """(-1)^a of variance 1.44, whose Fourier transform counts double, and a circle of 1.69."""
    angle = torch.pi * torch.arange(8).double() / 4
    waves = [1.2 * (-1.0) ** torch.arange(8), 1.3 * angle.cos(), 1.3 * angle.sin()]
    assert key_planes(torch.stack(waves, dim=1))[:2] == (1, 4)


def test_distance_counts_from_the_right_class_round_the_circle() -> None:
    logits = torch.zeros(2, 5)
    logits[0, 4], logits[1, 1] = 3.0, 3.0  # two after the labels 2 and 4
    found = by_distance(logits, torch.tensor([2, 4]))
    assert found.argmax() == 2
    assert float(found.max()) == pytest.approx(3 - 3 / 5)
    with_another = by_distance(torch.cat([logits, torch.ones(1, 5)]), torch.tensor([2, 4, 6]))
    assert with_another.equal(found)  # 6 is no residue, from which no distance is counted

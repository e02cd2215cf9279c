"""A network that adds by rotating clocks, built by hand: every measure must see what it is."""

import math

import pytest
import torch

from grok_cli.core.loss import correct_rows, row_losses
from grok_cli.diagnostics.measures.fourier import wave_norms
from grok_cli.diagnostics.measures.progress import answer_waves
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import key_frequencies, shares
from tests.diagnostics.builders import CLOCK_FREQUENCIES, clock

P = 13


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(*clock(P))


def test_clock_answers_every_pair(subject: Subject) -> None:
    assert correct_rows(subject.logits("all"), subject.labels("all")) == P * P


def test_clock_logits_are_cosines_of_a_plus_b_minus_c(subject: Subject) -> None:
    a, b, c = torch.meshgrid(*[torch.arange(P).double()] * 3, indexing="ij")
    expected = sum(20 * (2 * math.pi * k * (a + b - c) / P).cos() for k in CLOCK_FREQUENCIES)
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(subject.logits("all")[:, :P].view(P, P, P), expected)


def test_heads_attend_to_one_token_each(subject: Subject) -> None:
    values = DIAGNOSTICS["attention"].measure(subject)
    assert values["attention/head0_answer_entropy"] == 0
    assert values["attention/head1_answer_entropy"] == 0
    assert values["attention/answer_entropy"] == pytest.approx(math.log(2))
    # Queries of a and b are 0, so that they attend to all three tokens alike.
    assert values["attention/head0_entropy"] == pytest.approx(2 / 3 * math.log(3))


def test_key_frequencies_are_those_built_in(subject: Subject) -> None:
    waves = answer_waves(subject)
    assert waves is not None
    assert sorted(waves.keys.tolist()) == list(CLOCK_FREQUENCIES)
    embedded = subject.model.embed[:P].detach()
    assert sorted(key_frequencies(shares(embedded)).tolist()) == list(CLOCK_FREQUENCIES)
    norms = wave_norms(embedded)
    assert sorted(norms.topk(2).indices.add(1).tolist()) == list(CLOCK_FREQUENCIES)


def test_restricted_loss_is_the_loss_and_excluded_loss_is_that_of_guessing(
    subject: Subject,
) -> None:
    values = DIAGNOSTICS["progress"].measure(subject)
    loss = row_losses(subject.logits("all"), subject.labels("all"), torch.float64).mean()
    assert values["progress/restricted_loss"] == pytest.approx(float(loss), rel=1e-9)
    assert values["progress/restricted_loss"] < 1e-2
    # What is left is the same logit for each of the p + 1 classes.
    assert values["progress/excluded_loss"] == pytest.approx(math.log(P + 1), rel=1e-6)
    assert values["progress/key_count"] == 2
    assert values["progress/key_variance"] == pytest.approx(1)


def test_gradients_of_a_clock_are_the_angles_themselves(subject: Subject) -> None:
    # The right logit's gradient for the embedding of a points to a on the circles, that for b to
    # b; their cosine is the mean of cos(w (a - b)), which over all pairs sums to 0.
    values = DIAGNOSTICS["symmetry"].measure(subject)
    assert values["symmetry/gradient_symmetricity"] == pytest.approx(0, abs=1e-9)


def test_gini_of_two_equal_waves_among_six(subject: Subject) -> None:
    values = DIAGNOSTICS["fourier"].measure(subject)
    # Two equal values and four zeros: G = 1 - 2/6.
    assert values["fourier/embed_gini"] == pytest.approx(4 / 6, abs=1e-6)
    assert values["fourier/unembed_gini"] == pytest.approx(4 / 6, abs=1e-6)
    assert values["fourier/embed_key_count"] == 2
    assert values["fourier/embed_top_share"] == pytest.approx(0.5)


def test_residual_uses_one_dimension_a_wave(subject: Subject) -> None:
    values = DIAGNOSTICS["rank"].measure(subject)
    # Circles of a, of b and of the answer, two each; "=" adds a constant channel.
    assert values["alpha_req/rank_train"] == 13

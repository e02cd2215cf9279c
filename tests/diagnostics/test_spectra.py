"""Ranks, exponents and Gini coefficients of matrices whose answer is known on paper."""

import math

import numpy as np
import pytest
import torch

from grok_cli.diagnostics.measures.htsr import weight_spectrum
from grok_cli.diagnostics.measures.rank import compressibility
from grok_cli.diagnostics.spectra import (
    effective_rank,
    gini,
    gram_spectrum,
    numerical_rank,
    power_law_alpha,
    stable_rank,
)


def test_identity_has_full_rank_in_every_sense() -> None:
    values = compressibility(torch.eye(8))
    assert values["rank"] == 8
    assert values["effective_rank"] == pytest.approx(8)
    assert values["stable_rank"] == pytest.approx(math.sqrt(8))


def test_rank_one_matrix_has_rank_one_in_every_sense() -> None:
    z = torch.outer(torch.arange(1.0, 51), torch.tensor([1.0, -2, 3, 0.5])).double()
    values = compressibility(z)
    assert values["rank"] == 1
    assert values["effective_rank"] == pytest.approx(1, abs=1e-5)
    assert values["stable_rank"] == pytest.approx(1)


def test_effective_rank_of_known_spectra() -> None:
    assert effective_rank(torch.tensor([3.0, 0, 0])) == 1
    assert effective_rank(torch.tensor([1.0, 1, 1, 1, 0])) == pytest.approx(4)
    assert effective_rank(torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)


def test_gram_spectrum_is_squared_singular_values() -> None:
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(gram_spectrum(x), torch.linalg.svdvals(x).square())


def test_a_spectrum_of_what_is_not_finite_is_nan() -> None:
    for x in (torch.tensor([[1.0, math.nan]]), torch.tensor([[1e30, 1.0]])):  # 1e60 is none
        assert gram_spectrum(x).isnan().all()


def test_numerical_rank_depends_on_the_type() -> None:
    values = torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64)
    assert numerical_rank(torch.diag(values)) == 3
    assert numerical_rank(torch.diag(values).float()) == 2


def test_ranks_and_spectra_are_in_the_type_of_the_network_as_published() -> None:
    """The second eigenvalue, 1e-8 of the first, is below the rounding of float32."""
    z = torch.diag(torch.tensor([1.0, 1e-4], dtype=torch.float64))
    for measure, name in ((compressibility, "rank"), (weight_spectrum, "effective_ranks")):
        exact, single = measure(z)[name], measure(z.float())[name]
        assert exact != single
    assert (compressibility(z)["rank"], compressibility(z.float())["rank"]) == (2, 1)
    assert gram_spectrum(z.float()).dtype == torch.float32


def test_stable_rank_of_a_diagonal() -> None:
    assert stable_rank(torch.diag(torch.tensor([4.0, 3.0]))) == pytest.approx(5 / 4)


def test_exponent_of_two_values_is_the_maximum_likelihood_estimate() -> None:
    # The only tail is both: alpha = 1 + 2 / ln(e) = 3.
    assert power_law_alpha(torch.tensor([1.0, math.e, 0.0])) == pytest.approx(3)


def test_exponent_of_a_pareto_sample_is_recovered() -> None:
    sample = np.random.default_rng(0).pareto(1.5, 1000) + 1
    assert power_law_alpha(torch.from_numpy(sample)) == pytest.approx(2.5, abs=0.15)


def test_exponent_needs_two_different_values() -> None:
    assert math.isnan(power_law_alpha(torch.tensor([2.0, 2.0, 0.0])))


@pytest.mark.parametrize("seed", range(4))
def test_exponent_is_that_of_the_tail_that_fits_best(seed: int) -> None:
    """Clauset et al., equations 3.1 and 3.9, start by start; values that repeat, and zeros."""
    drawn = torch.rand(14, generator=torch.Generator().manual_seed(seed)).double() ** -1.5
    values = sorted([*drawn.tolist(), float(drawn[0]), float(drawn[1])])
    fits = []
    for start in dict.fromkeys(values[: values.index(values[-1])]):
        tail = [x for x in values if x >= start]
        alpha = 1 + len(tail) / sum(math.log(x / start) for x in tail)
        distance = max(
            abs(place / len(tail) - (1 - (x / start) ** (1 - alpha)))
            for place, x in enumerate(tail)
        )
        fits.append((distance, alpha))
    assert len({alpha for _, alpha in fits}) > 1
    measured = power_law_alpha(torch.tensor([*values, 0.0, 0.0], dtype=torch.float64))
    assert measured == pytest.approx(min(fits)[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_exponent_equals_that_of_the_powerlaw_package() -> None:
    powerlaw = pytest.importorskip("powerlaw", minversion="2")
    generator = torch.Generator().manual_seed(1)
    spectra = [
        gram_spectrum(torch.randn(200, 128, generator=generator)),
        gram_spectrum(torch.randn(40, 64, generator=generator)),  # with a noise floor
        torch.randn(100, generator=generator).exp(),
        torch.rand(100, generator=generator).double() + 1,
    ]
    for spectrum in spectra:
        # Version 2 stops at alpha = 3 unless told otherwise; version 1 had no such limit.
        fit = powerlaw.Fit(
            spectrum.numpy(), discrete=False, verbose=False, parameter_ranges={"alpha": [1, 1e9]}
        )
        assert power_law_alpha(spectrum) == pytest.approx(fit.alpha, rel=1e-9)


def test_gini_of_equal_and_of_concentrated_values() -> None:
    assert gini(torch.ones(7)) == pytest.approx(0)
    assert gini(torch.tensor([0.0, 0, 0, 5])) == pytest.approx(3 / 4)
    assert gini(torch.tensor([1.0, 3])) == pytest.approx(1 / 4)

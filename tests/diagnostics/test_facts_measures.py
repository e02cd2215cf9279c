"""Facts of the diagnostics: which rows, which matrix, which share, on cases known on paper."""

import math

import pytest
import torch

from grok_cli.core.loss import row_losses
from grok_cli.diagnostics.measures.attention import attention_values
from grok_cli.diagnostics.measures.fourier import column_energy
from grok_cli.diagnostics.measures.htsr import weight_matrices, weight_spectrum
from grok_cli.diagnostics.measures.progress import AnswerWaves, excluded_loss, restricted_loss
from grok_cli.diagnostics.measures.rank import compressibility
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.spectra import numerical_rank
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import key_frequencies, shares
from tests.diagnostics.builders import clock, small_network, small_subject


def test_ranks_are_those_of_the_gram_matrix() -> None:
    """Z has singular values 1, 0.1 and 1e-9, so that C = Z^T Z has 1, 0.01 and 1e-18: C has
    numerical rank 2 where Z has 3, and Frobenius over spectral norm is sqrt(1 + 1e-4), not that of
    Z, sqrt(1 + 1e-2)."""
    z = torch.zeros(5, 3, dtype=torch.float64)
    z[0, 0], z[1, 1], z[2, 2] = 1.0, 0.1, 1e-9
    measured = compressibility(z)
    assert measured["rank"] == 2
    assert measured["stable_rank"] == pytest.approx(math.sqrt(1 + 1e-4), rel=1e-12)
    share = torch.tensor([1.0, 0.01]).double() / 1.01
    entropy = -float((share * share.log()).sum())
    assert measured["effective_rank"] == pytest.approx(math.exp(entropy), rel=1e-6)


def test_ranks_of_train_are_those_of_the_training_rows() -> None:
    subject = small_subject()
    values = DIAGNOSTICS["rank"].measure(subject)
    for split in ("train", "test"):
        z = subject.model.run_with_cache(subject.tokens(split))["final"]
        c = z.T @ z
        eigenvalues = torch.linalg.eigvalsh(c)
        expected = float(c.norm() / eigenvalues.max())
        assert values[f"alpha_req/stable_rank_{split}"] == pytest.approx(expected, rel=1e-9)


def test_rank_of_the_attention_output_is_that_of_the_last_position() -> None:
    """Effective rank of the Gram matrix of the outputs at "=", over all pairs."""
    subject = small_subject()
    out = subject.model.run_with_cache(subject.dataset.tokens)["blocks.0.attn_out"]

    def effective_rank(x: torch.Tensor) -> float:
        share = torch.linalg.svdvals(x).square()
        share = share / share.sum()
        return math.exp(-float((share * share.clamp_min(1e-300).log()).sum()))

    values = DIAGNOSTICS["attention"].measure(subject)
    name = next(name for name in values if "rank" in name)
    assert values[name] == pytest.approx(effective_rank(out[:, -1]), rel=1e-6)
    assert values[name] != pytest.approx(effective_rank(out[:, 0]), rel=1e-3)


def waves_of(by_answer: torch.Tensor, keys: list[int]) -> AnswerWaves:
    return AnswerWaves(by_answer, shares(by_answer), torch.tensor(keys))


@pytest.mark.parametrize("split", ["train", "test"])
def test_attention_over_a_split_is_that_of_its_rows(split: str) -> None:
    subject = small_subject()
    weights = subject.trace.attention[0][subject.dataset.rows(split)].mean(dim=1)
    expected = float(-(weights * weights.log()).sum(dim=-1).mean())
    values = attention_values(subject, split)
    assert values["attention/attn_score_entropy"] == pytest.approx(expected)
    answer = weights[:, -1]
    expected = float(-(answer * answer.log()).sum(dim=-1).mean())
    assert values["attention/answer_entropy"] == pytest.approx(expected)
    of_heads = subject.trace.attention[0][subject.dataset.rows(split)]
    for head in (0, 1):
        sizes = -(of_heads[:, head] * of_heads[:, head].log()).sum(dim=-1)  # row query
        name = f"attention/head{head}"
        assert values[f"{name}_entropy"] == pytest.approx(float(sizes.mean()))
        assert values[f"{name}_answer_entropy"] == pytest.approx(float(sizes[:, -1].mean()))


def test_restricted_loss_keeps_the_mean_of_the_logits_and_the_key_waves_alone() -> None:
    """Logits of answer y: a constant per class, a key wave and another wave, which goes."""
    p = 7
    y = torch.arange(p).double()
    angle = 2 * math.pi * (y[:, None] - y) / p
    constant = torch.linspace(-1, 1, p).double()
    kept = constant + 2 * angle.cos()
    waves = waves_of(kept + 3 * (2 * angle).cos(), keys=[1])
    for scale in (1.0, 2.5):  # 2.5: a softmax temperature of 0.4
        expected = row_losses(scale * kept, torch.arange(p), torch.float64).mean()
        assert restricted_loss(waves, scale) == pytest.approx(float(expected), rel=1e-12)


def test_excluded_loss_takes_the_key_waves_away_from_the_given_rows() -> None:
    p = 7
    y = torch.arange(p).double()
    angle = 2 * math.pi * (y[:, None] - y) / p
    rest = torch.randn(2 * p, p, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(p).repeat(2)
    waves = waves_of(2 * angle.cos(), keys=[1])
    logits = rest + 2 * angle.cos().repeat(2, 1)
    for scale in (1.0, 2.5):
        expected = row_losses(scale * rest[:5], labels[:5], torch.float64).mean()
        measured = excluded_loss(waves, logits[:5], labels[:5], scale)
        assert measured == pytest.approx(float(expected), rel=1e-12)


def test_restricted_loss_is_over_all_pairs_and_excluded_loss_over_training_pairs() -> None:
    """With the temperature of the run's loss, by a slow literal form."""
    model, dataset = small_network(p=7, output_scaling=1.7, scale_as="temperature")
    subject = Subject(model, dataset)
    values = DIAGNOSTICS["progress"].measure(subject)
    logits = model(dataset.tokens).detach()
    logits = logits - logits.mean(dim=1, keepdim=True)
    p, labels = 7, dataset.labels
    by_answer = torch.stack([logits[labels == y].mean(dim=0) for y in range(p)])
    energy = []
    y = torch.arange(p).double()
    parts = []
    for k in range(1, p // 2 + 1):
        angle = 2 * math.pi * k * y / p
        cos, sin = angle.cos(), angle.sin()
        part = torch.outer(cos, cos @ by_answer) + torch.outer(sin, sin @ by_answer)
        parts.append(part * 2 / p)
        energy.append(float(parts[-1].square().sum()))
    order = sorted(range(len(energy)), key=lambda i: -energy[i])
    keys, held = [], 0.0
    for i in order:
        keys.append(i)
        held += energy[i] / sum(energy)
        if held >= 0.95:
            break
    key_part = sum(parts[i] for i in keys)
    assert isinstance(key_part, torch.Tensor)
    mean = by_answer.mean(dim=0)
    restricted = row_losses(1.7 * (mean + key_part), torch.arange(p), torch.float64).mean()
    assert values["progress/restricted_loss"] == pytest.approx(float(restricted), rel=1e-9)
    train = dataset.train
    rest = logits[train] - key_part[labels[train]]
    excluded = row_losses(1.7 * rest, labels[train], torch.float64).mean()
    assert values["progress/excluded_loss"] == pytest.approx(float(excluded), rel=1e-9)
    assert values["progress/key_count"] == len(keys)
    kept = float(key_part[labels].square().sum())
    all_of_it = float((logits - logits.mean(dim=0)).square().sum())
    assert values["progress/key_variance"] == pytest.approx(kept / all_of_it, rel=1e-9)


def test_key_frequencies_are_the_fewest_that_hold_95_percent() -> None:
    assert key_frequencies(torch.tensor([0.04, 0.5, 0.06, 0.4])).tolist() == [2, 4, 3]
    assert key_frequencies(torch.tensor([0.94, 0.06])).tolist() == [1, 2]
    assert key_frequencies(torch.tensor([0.04, 0.96])).tolist() == [2]


def test_for_even_p_the_last_frequency_counts_once() -> None:
    """(-1)^a has variance 1; cos(2 pi a / p) has 1/2: two thirds and one third of the whole."""
    a = torch.arange(8).double()
    table = torch.stack([(2 * math.pi * a / 8).cos(), (-1.0) ** a], dim=1)
    assert shares(table).tolist() == pytest.approx([1 / 3, 0, 0, 2 / 3], abs=1e-12)


def test_means_of_weight_spectra_leave_out_embedding_and_unembedding() -> None:
    subject = small_subject(n_layers=2, mlp_type="gated")
    values = DIAGNOSTICS["htsr"].measure(subject)
    inner = [
        weight
        for name, weight in weight_matrices(subject.model).items()
        if name.startswith("layer")
    ]
    assert len(inner) == 2 * (4 + 3)  # q, k, v, out; in, gate, out
    for metric in ("alpha", "stable_ranks", "effective_ranks", "ranks"):
        expected = sum(weight_spectrum(weight)[metric] for weight in inner) / len(inner)
        assert values[f"htsr/{metric}"] == pytest.approx(expected)
        assert values[f"htsr/embed/{metric}"] != pytest.approx(expected)


def test_each_weight_matrix_is_measured_under_its_name() -> None:
    """A matrix of ones is the only one of rank 1, wherever it is put."""
    model, _ = small_network(n_layers=2, mlp_type="gated")
    d = model.config.d_model
    places = {"embed": model.embed, "unembed": model.unembed}
    for i, block in enumerate(model.layers()):
        qkv, mlp = block.attn.qkv, block.mlp
        parts = {"q": qkv[:d], "k": qkv[d : 2 * d], "v": qkv[2 * d :], "out": block.attn.out}
        parts |= {"w_in": mlp.w_in, "w_gate": mlp.w_gate, "w_out": mlp.w_out}
        places |= {f"layer{i}.{name}": weight for name, weight in parts.items()}
    assert weight_matrices(model).keys() == places.keys()
    for place, weight in places.items():
        before = weight.detach().clone()
        weight.data.fill_(1.0)
        found = weight_matrices(model)
        assert [name for name in found if numerical_rank(found[name]) == 1] == [place]
        weight.data.copy_(before)


def test_spectra_of_a_matrix_with_singular_values_4_and_3() -> None:
    """Eigenvalues 16 and 9 of W^T W: the only tail is both, so that alpha = 1 + 2 / ln(16 / 9);
    effective rank exp(entropy of 16/25 and 9/25). Stable rank of W: 5 / 4; of W^T W: sqrt(337) /
    16."""
    w = torch.zeros(5, 2, dtype=torch.float64)
    w[1, 0], w[4, 1] = 4.0, -3.0
    shares = 16 / 25, 9 / 25
    alpha = 1 + 2 / math.log(16 / 9)
    effective = math.exp(-sum(share * math.log(share) for share in shares))
    found = weight_spectrum(w)
    assert list(found) == ["alpha", "stable_ranks", "effective_ranks", "ranks"]
    assert list(found.values()) == pytest.approx([alpha, 5 / 4, effective, 2], rel=1e-9)
    found = compressibility(w)
    assert list(found) == ["rank", "stable_rank", "alpha", "effective_rank"]
    expected = [2, math.sqrt(337) / 16, alpha, effective]
    assert list(found.values()) == pytest.approx(expected, rel=1e-9)


def test_energy_of_columns_is_of_the_embedding_of_the_p_elements_alone() -> None:
    """The token "=" is no residue: its embedding may be anything."""
    model, dataset = small_network(p=7)
    before = DIAGNOSTICS["fourier"].measure(Subject(model, dataset))
    model.embed.data[7] += 100
    model.unembed.data[7] += 100
    after = DIAGNOSTICS["fourier"].measure(Subject(model, dataset))
    assert before == after
    assert before["fourier/col_energy"] == pytest.approx(
        column_energy(model.embed[:7].detach()), rel=1e-12
    )


def test_only_the_gini_coefficient_of_the_unembedding_is_of_the_unembedding() -> None:
    model, dataset = small_network(p=7)
    before = DIAGNOSTICS["fourier"].measure(Subject(model, dataset))
    model.unembed.data[2] += 5
    after = DIAGNOSTICS["fourier"].measure(Subject(model, dataset))
    assert {metric for metric in before if after[metric] != before[metric]} == {
        "fourier/unembed_gini"
    }


def test_margin_of_a_split_is_that_of_its_rows() -> None:
    subject = small_subject()
    values = DIAGNOSTICS["margin"].measure(subject)
    for split in ("train", "test"):
        rows = [sorted(row) for row in subject.model(subject.tokens(split)).tolist()]
        expected = sum(row[-1] - row[-2] for row in rows) / len(rows)
        assert values[f"{split}/top2_margin"] == pytest.approx(expected, rel=1e-9)


def test_diagnostics_do_not_depend_on_the_order_of_the_training_rows() -> None:
    """The split as sets of rows is what counts; the order of the shuffle is not."""
    model, dataset = small_network(p=7)
    shuffled = type(dataset)(
        dataset.p,
        dataset.vocab,
        dataset.tokens,
        dataset.labels,
        dataset.train.flip(0),
        dataset.test.roll(3),
    )
    for name in ("rank", "attention", "progress", "spec", "margin", "numerics", "symmetry"):
        one = DIAGNOSTICS[name].measure(Subject(model, dataset))
        two = DIAGNOSTICS[name].measure(Subject(model, shuffled))
        for metric, value in one.items():
            assert two[metric] == pytest.approx(value, rel=1e-7, nan_ok=True), metric


def test_diagnostics_of_a_subtracting_clock_see_the_same_as_of_an_adding_one() -> None:
    """Renaming b as -b turns addition into subtraction: what is measured over all pairs stays."""
    model, dataset = clock()
    p = dataset.p
    renamed = (-torch.arange(p)) % p
    b = torch.cat([renamed, torch.tensor([p])])
    adding = DIAGNOSTICS["attention"].measure(Subject(model, dataset))
    tokens = dataset.tokens.clone()
    tokens[:, 1] = b[tokens[:, 1]]
    subtracting = type(dataset)(
        p, dataset.vocab, tokens, dataset.labels, dataset.train, dataset.test
    )
    measured = DIAGNOSTICS["attention"].measure(Subject(model, subtracting))
    for metric, value in adding.items():
        assert measured[metric] == pytest.approx(value, rel=1e-6), metric

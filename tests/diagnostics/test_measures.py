"""Attention entropy, margins, waves and the rest, on inputs whose answer is known on paper."""

import copy
import math
from statistics import fmean, pstdev

import pytest
import torch
import torch.nn.functional as F

from grok_cli.core.attention import Attention
from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.loss import row_losses
from grok_cli.core.training import Trainer
from grok_cli.diagnostics.forward import mean_loss
from grok_cli.diagnostics.measures.attention import entropy, layer_attention
from grok_cli.diagnostics.measures.circularity import embedding_circularity
from grok_cli.diagnostics.measures.fourier import column_energy
from grok_cli.diagnostics.measures.heads import circuits, mean_pairwise_cosine
from grok_cli.diagnostics.measures.hessian import extreme_eigenvalues, loss_hessian
from grok_cli.diagnostics.measures.margin import top2_margin
from grok_cli.diagnostics.measures.norms import group_norms
from grok_cli.diagnostics.measures.numerics import collapsed, logit_scale
from grok_cli.diagnostics.measures.progress import answer_waves
from grok_cli.diagnostics.measures.symmetry import distance_irrelevance, gradient_symmetricity
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import only, shares
from tests.conftest import small_config
from tests.diagnostics.builders import small_network, small_subject


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_uniform_attention_has_entropy_log_3_and_one_hot_attention_0() -> None:
    assert float(entropy(torch.full((3,), 1 / 3))) == pytest.approx(math.log(3))
    assert float(entropy(torch.tensor([0.0, 1.0, 0.0]))) == 0


def test_entropy_of_averaged_heads_is_not_the_average_of_entropies() -> None:
    one_hot = torch.eye(3)[torch.tensor([0, 1])]  # head 0 attends to a, head 1 to b
    weights = one_hot[None, :, None, :].expand(4, 2, 3, 3)
    measured = layer_attention(weights, torch.eye(4)[:, None].expand(4, 3, 4))
    assert measured.score_entropy == pytest.approx(math.log(2))
    assert measured.answer_entropy == pytest.approx(math.log(2))
    assert measured.head_entropy == [0, 0]
    assert measured.out_effective_rank == pytest.approx(4)


def test_each_head_has_its_own_entropy() -> None:
    """One that looks at a alone, one at a and b, one at all; the last query looks elsewhere."""
    shares = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3])
    weights = shares[:, None].repeat(1, 3, 1)  # head query key
    weights[:, 2] = shares.roll(1, dims=0)
    measured = layer_attention(weights.expand(4, 3, 3, 3), torch.eye(4)[:, None].expand(4, 3, 4))
    sizes = [0, math.log(2), math.log(3)]
    last = [sizes[2], *sizes[:2]]
    assert measured.answer_head_entropy == pytest.approx(last)
    means = [(2 * size + at_last) / 3 for size, at_last in zip(sizes, last, strict=True)]
    assert measured.head_entropy == pytest.approx(means)


def test_answer_entropy_is_that_of_the_last_query() -> None:
    weights = torch.full((5, 1, 3, 3), 1 / 3)
    weights[:, :, 2] = torch.tensor([0.0, 0.0, 1.0])
    measured = layer_attention(weights, torch.randn(5, 3, 4, generator=rng()))
    assert measured.answer_entropy == 0
    assert measured.answer_head_entropy == [0]
    assert measured.score_entropy == pytest.approx(2 / 3 * math.log(3))


def test_deep_models_measure_each_layer() -> None:
    subject = small_subject(n_layers=2)
    values = DIAGNOSTICS["attention"].measure(subject)
    second = layer_attention(subject.trace.attention[1], subject.trace.attn_out[1])
    assert values["attention/layer1/attn_score_entropy"] == second.score_entropy


def test_margin_is_the_gap_of_the_two_largest() -> None:
    assert top2_margin(torch.tensor([[1.0, 5, 3], [2, 2, 0]])).tolist() == [2, 0]


def test_column_energy_by_the_formula_in_numpy() -> None:
    table = torch.randn(11, 6, generator=rng(), dtype=torch.float64)
    f = torch.fft.rfft(table, dim=0).abs().T.numpy()
    mean = f.mean(axis=0, keepdims=True)
    expected = mean.var() / (((f - mean) ** 2).mean() + 1e-8)
    assert column_energy(table) == pytest.approx(expected)


def test_column_energy_of_a_pure_wave_is_on_paper() -> None:
    # All columns are the same cosine: F is p/2 at one of 6 frequencies, so that the spread is 0
    # and the variance (p/2)^2 * 5/36.
    p = 11
    wave = (2 * math.pi * 2 * torch.arange(p).double() / p).cos()
    expected = (p / 2) ** 2 * 5 / 36 / 1e-8
    assert column_energy(wave[:, None].expand(p, 4)) == pytest.approx(expected, rel=1e-6)


def test_shares_and_filter_tell_waves_apart() -> None:
    p = 11
    angle = 2 * math.pi * torch.arange(p).double() / p
    table = torch.stack([3 * (2 * angle).cos(), (4 * angle).sin() + 7], dim=1)
    assert shares(table).tolist() == pytest.approx([0, 0.9, 0, 0.1, 0])
    torch.testing.assert_close(only(table, torch.tensor([4]))[:, 1], (4 * angle).sin())


def test_circularity_of_a_pure_wave_is_1_and_of_noise_small() -> None:
    p = 101
    angle = 2 * math.pi * torch.arange(p).double() / p
    circles = torch.stack([w for k in (2, 7) for w in ((k * angle).cos(), (k * angle).sin())], 1)
    stretched = circles * torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert embedding_circularity(stretched) == pytest.approx(1)
    assert embedding_circularity(torch.randn(p, 64, generator=rng())) < 0.3


@pytest.mark.parametrize("p", [3, 5, 8])
def test_any_frequency_below_p_half_is_a_circle_wherever_its_centre_lies(p: int) -> None:
    for k in (k for k in range(1, p) if 2 * k < p):
        angle = 2 * math.pi * k * torch.arange(p).double() / p
        circle = torch.stack([angle.cos() + 30, angle.sin() - 70], dim=1)
        assert embedding_circularity(circle) == pytest.approx(1)
        among_six = circle @ torch.randn(2, 6, generator=rng(), dtype=torch.float64)
        assert embedding_circularity(among_six) == pytest.approx(1)  # four have no extent


def test_the_highest_frequency_of_an_even_p_is_no_circle() -> None:
    assert embedding_circularity((-1.0) ** torch.arange(8)[:, None]) == pytest.approx(0, abs=1e-9)


def test_circularity_is_the_mean_over_the_first_four_components() -> None:
    """Three are pure waves; half of the fourth is one wave; the fifth, a third, does not count."""
    angle = 2 * math.pi * torch.arange(11).double() / 11
    fourth = (3 * angle).cos() + (4 * angle).cos()
    fifth = (3 * angle).sin() + (4 * angle).sin() + (5 * angle).sin()
    components = [8 * angle.cos(), 7 * angle.sin(), 6 * (2 * angle).cos(), 3 * fourth, fifth]
    assert embedding_circularity(torch.stack(components, dim=1)) == pytest.approx(3.5 / 4)


def test_logits_of_the_sum_are_irrelevant_of_distance_and_those_of_the_difference_are_not() -> None:
    p = 13
    a = torch.arange(p)
    of_sum = torch.randn(p, generator=rng())[(a[:, None] + a) % p]
    of_difference = torch.randn(p, generator=rng())[(a[:, None] - a) % p]
    assert distance_irrelevance(of_sum) == pytest.approx(1)
    assert distance_irrelevance(of_difference) == pytest.approx(0, abs=1e-12)


def test_distance_irrelevance_of_a_network_is_that_of_its_right_logits() -> None:
    model, dataset = small_network(p=5)
    right = model(dataset.tokens).detach().gather(1, dataset.labels[:, None]).flatten().tolist()
    grid = {(a, b): logit for (a, b, _), logit in zip(dataset.tokens.tolist(), right, strict=True)}
    at_distance = [[grid[a, (a + d) % 5] for a in range(5)] for d in range(5)]
    expected = fmean(map(pstdev, at_distance)) / pstdev(right)
    values = DIAGNOSTICS["symmetry"].measure(Subject(model, dataset))
    assert values["symmetry/distance_irrelevance"] == pytest.approx(expected)
    dividing = DIAGNOSTICS["symmetry"].measure(small_subject(p=5, task="divide"))
    assert math.isnan(dividing["symmetry/distance_irrelevance"])  # not all pairs exist


def test_gradients_of_a_network_blind_to_position_and_order_are_symmetric() -> None:
    model, dataset = small_network()
    model.blocks[0].attn.qkv.data[:16] = 0  # uniform attention: a and b enter as their sum
    value = gradient_symmetricity(model, dataset.tokens, dataset.labels)
    assert value == pytest.approx(1)
    other, _ = small_network(seed=8, noise=1.0)
    value = gradient_symmetricity(other, dataset.tokens, dataset.labels)
    assert value < 0.99
    measured = DIAGNOSTICS["symmetry"].measure(Subject(other, dataset))  # of all 25 pairs
    assert measured["symmetry/gradient_symmetricity"] == pytest.approx(value)


def test_symmetry_of_many_pairs_is_that_of_a_drawn_sample_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten of 25: the first ten would be those with a = 0 and a = 1."""
    seen: list[list[int]] = []

    def of(model: object, tokens: torch.Tensor, labels: torch.Tensor) -> float:
        seen.append((5 * tokens[:, 0] + tokens[:, 1]).tolist())
        assert labels.tolist() == ((tokens[:, 0] + tokens[:, 1]) % 5).tolist()
        return 0.0

    monkeypatch.setattr("grok_cli.diagnostics.measures.symmetry.ROWS", 10)
    monkeypatch.setattr("grok_cli.diagnostics.measures.symmetry.gradient_symmetricity", of)
    for _ in range(2):
        DIAGNOSTICS["symmetry"].measure(small_subject(p=5))
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 10
    assert len({pair // 5 for pair in seen[0]}) > 2


def test_softmax_collapses_where_the_others_are_rounded_away() -> None:
    labels = torch.zeros(3, dtype=torch.long)
    logits = torch.tensor([[10.0, 0], [20.0, 0], [40.0, 0]]).double()
    # exp(-10) = 5e-5, exp(-20) = 2e-9, exp(-40) = 4e-18 against half of the machine epsilon.
    assert collapsed(logits, labels, torch.float16) == 1
    assert collapsed(logits, labels, torch.float32) == pytest.approx(2 / 3)
    assert collapsed(logits, labels, torch.float64) == pytest.approx(1 / 3)
    assert collapsed(-logits, labels, torch.float16) == 0  # certain, but wrong
    assert collapsed(logits.flip(1), labels + 1, torch.float32) == pytest.approx(2 / 3)
    apart = torch.tensor([[0.0, 0], [1000.0, 0]])  # each row by itself
    assert collapsed(apart, labels[:2], torch.float64) == pytest.approx(1 / 2)


def test_logit_scale_ignores_a_common_constant() -> None:
    assert logit_scale(torch.tensor([[1.0, -1.0], [101.0, 99.0]])) == pytest.approx(1)
    assert logit_scale(torch.tensor([[1.0, -1.0], [3.0, -3.0]])) == pytest.approx(math.sqrt(5))


def test_scale_and_collapse_are_those_of_what_the_loss_sees() -> None:
    """A temperature of 1/50 makes logits 50 times as large, and more rows certain."""
    plain = DIAGNOSTICS["numerics"].measure(small_subject(scale_as="temperature"))
    sharp = DIAGNOSTICS["numerics"].measure(
        small_subject(scale_as="temperature", output_scaling=50.0)
    )
    scale = "numerics/logit_scale"
    assert sharp[scale] == pytest.approx(50 * plain[scale])
    assert sharp["numerics/softmax_collapse_float16"] > plain["numerics/softmax_collapse_float16"]


def test_heads_that_do_the_same_have_cosine_1() -> None:
    same = torch.randn(3, 4, generator=rng()).expand(2, 3, 4)
    assert mean_pairwise_cosine(same) == pytest.approx(1)
    assert mean_pairwise_cosine(torch.stack([same[0], -same[0]])) == pytest.approx(-1)
    assert mean_pairwise_cosine(torch.eye(4).view(2, 2, 4)) == 0
    assert math.isnan(mean_pairwise_cosine(same[:1]))
    three = torch.stack([same[0], 2 * same[0], -same[0]])  # cosines of pairs: 1, -1, -1
    assert mean_pairwise_cosine(three) == pytest.approx(-1 / 3)


@torch.no_grad()
def test_circuits_compute_scores_and_output_of_a_head() -> None:
    model, _ = small_network()
    attn = model.blocks[0].attn
    assert isinstance(attn, Attention)
    x, y = torch.randn(2, 8, generator=rng(), dtype=torch.float64)
    matrices = circuits(attn)
    w_q, w_k, w_v = attn.qkv.chunk(3)
    assert float(x @ matrices["qk"][1] @ y) == pytest.approx(float((w_q @ x)[4:] @ (w_k @ y)[4:]))
    torch.testing.assert_close(matrices["ov"][1] @ x, attn.out[:, 4:] @ (w_v @ x)[4:])


@torch.no_grad()
def test_group_norms_add_up_to_the_norm_of_all() -> None:
    model, _ = small_network()
    norms = group_norms(model.trainable())
    total = torch.cat([p.reshape(-1) for p in model.parameters()]).norm()
    assert math.hypot(*norms.values()) == pytest.approx(float(total))
    assert norms["pos"] == pytest.approx(float(model.pos.norm()))
    assert set(norms) == {"embed", "pos", "unembed", "layer0.attn", "layer0.mlp"}


def test_norms_of_every_group_are_those_of_its_parameters() -> None:
    """Weights that were nine tenths before the update and a half at the start."""
    model, dataset = small_network(ln_type="pre", n_layers=2)
    weights = {name: p.detach() for name, p in model.trainable().items()}
    initial = copy.deepcopy(model)
    for parameter in initial.parameters():
        parameter.data *= 0.5
    before = {name: 0.9 * weight for name, weight in weights.items()}
    values = DIAGNOSTICS["norms"].measure(Subject(model, dataset, initial, previous=before))
    starts = {
        **{name: f"{name}." for name in ("embed", "pos", "unembed")},
        **{f"layer{i}.{p}": f"blocks.{i}.{p}." for i in (0, 1) for p in ("attn", "mlp", "norms")},
    }
    assert len(values) == 4 * len(starts)
    for group, start in starts.items():
        own = [w.flatten() for name, w in weights.items() if f"{name}.".startswith(start)]
        norm = float(torch.cat(own).norm())
        for kind, factor in (("weight", 1), ("update", 0.1), ("from_init", 0.5)):
            assert values[f"norms/{group}/{kind}"] == pytest.approx(factor * norm)


def test_gradient_norms_are_those_of_training() -> None:
    subject = small_subject(initial=True, ln_type="pre")
    values = DIAGNOSTICS["norms"].measure(subject)
    model = subject.model
    logits = model(subject.tokens("train"))
    row_losses(logits, subject.labels("train"), torch.float64).mean().backward()
    assert model.embed.grad is not None
    assert values["norms/embed/grad"] == pytest.approx(float(model.embed.grad.norm()))
    start = subject.initial
    assert start is not None
    moved = float((model.embed - start.embed).detach().norm())
    assert values["norms/embed/from_init"] == pytest.approx(moved)
    assert math.isnan(values["norms/embed/update"])


def test_spec_loss_reads_directions_only_and_no_norm() -> None:
    subject = small_subject(
        ln_type="pre", final_norm="on", output_scaling=1.7, scale_as="temperature"
    )
    model = subject.model
    block = model.blocks[0]
    x = model.embed[subject.tokens("train")] + model.pos
    x = x + block.attn(x, x)
    x = x + block.mlp(F.normalize(x, dim=-1))
    assert model.unembed is not None
    logits, labels = x[:, -1] @ model.unembed.T, subject.labels("train")
    expected = F.cross_entropy(1.7 * logits, labels)
    values = DIAGNOSTICS["spec"].measure(subject)
    assert values["train/spec_loss"] == pytest.approx(float(expected.detach()))
    right = (logits.argmax(dim=1) == labels).double().mean()
    assert values["train/spec_accuracy"] == pytest.approx(float(right))


@pytest.mark.parametrize("task", ["multiply", "divide", "parity"])
def test_waves_of_the_answer_are_those_of_sums_and_differences_only(task: str) -> None:
    assert answer_waves(small_subject(p=7, task="subtract")) is not None
    subject = small_subject(p=7, task=task)
    assert answer_waves(subject) is None
    values = DIAGNOSTICS["progress"].measure(subject)
    assert list(values) == DIAGNOSTICS["progress"].columns(subject.config)
    assert all(math.isnan(value) for value in values.values())


def test_lanczos_finds_the_extreme_eigenvalues_of_a_diagonal() -> None:
    import numpy as np

    values = np.linspace(-3, 10, 50)
    low, high = extreme_eigenvalues(50, lambda v: values * v.reshape(-1))
    assert (low, high) == pytest.approx((-3, 10), rel=1e-2)


def test_hessian_times_vector_equals_finite_differences_of_the_gradient() -> None:
    model, dataset = small_network(ln_type="pre")
    tokens, labels = dataset.tokens[dataset.train], dataset.labels[dataset.train]
    n, product = loss_hessian(model, tokens, labels)
    parameters = list(model.trainable().values())
    v = torch.randn(n, generator=rng(), dtype=torch.float64)
    hv = torch.from_numpy(product(v.numpy()))
    assert n == sum(p.numel() for p in parameters)

    def gradient_at(step: float) -> torch.Tensor:
        moved, _ = small_network(ln_type="pre")
        with torch.no_grad():
            pieces = v.split([p.numel() for p in parameters])
            for p, piece in zip(moved.trainable().values(), pieces, strict=True):
                p += step * piece.view(p.shape)
        loss = mean_loss(moved, tokens, labels)
        grads = torch.autograd.grad(loss, list(moved.trainable().values()))
        return torch.cat([g.reshape(-1) for g in grads])

    numeric = (gradient_at(1e-5) - gradient_at(-1e-5)) / 2e-5
    torch.testing.assert_close(hv, numeric, rtol=1e-5, atol=1e-6)


def test_hessian_eigenvalues_equal_those_of_the_full_matrix() -> None:
    subject = small_subject()
    n, product = loss_hessian(subject.model, subject.tokens("train"), subject.labels("train"))
    eye = torch.eye(n, dtype=torch.float64).numpy()
    full = torch.stack([torch.from_numpy(product(row)) for row in eye])
    eigenvalues = torch.linalg.eigvalsh((full + full.T) / 2)
    values = DIAGNOSTICS["hessian"].measure(subject)
    assert values["hessian/max_eigenval"] == pytest.approx(float(eigenvalues[-1]), rel=2e-2)
    assert values["hessian/smallest_eigenval"] == pytest.approx(float(eigenvalues[0]), rel=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ln_type", "published"), [("attn-pre", 1.0799467), ("attn-pre-qk", 1.0776505)]
)
def test_attention_on_the_published_rows_is_the_published_entropy(
    ln_type: str, published: float
) -> None:
    """Five-seed mean after the first update."""
    values = []
    for seed in (456, 789, 111, 222, 333):
        config = Config.model_validate({"model": {"ln_type": ln_type}, "train": {"seed": seed}})
        trainer = Trainer(config)
        trainer.engine.step(trainer.dataset.train)
        trainer.optimizer.step(1e-3)
        subject = Subject(trainer.model, trainer.dataset)
        measured = DIAGNOSTICS["attention-published"].measure(subject)
        values.append(measured["attention/published_rows_entropy"])
    assert fmean(values) == pytest.approx(published, abs=1e-6)


def test_the_published_rows_are_the_training_rows_of_seed_0_whatever_the_run_s_seed() -> None:
    for seed in (0, 3):
        subject = small_subject(seed=seed, n_layers=2)
        rows = Dataset.of(small_config(data__modulus=5, data__test_ratio=0.4, train__seed=0)).train
        weights = subject.trace.attention[1][rows]
        expected = -(weights.mean(1) * weights.mean(1).log()).sum(-1).mean()
        values = DIAGNOSTICS["attention-published"].measure(subject)
        assert values["attention/layer1/published_rows_entropy"] == pytest.approx(float(expected))

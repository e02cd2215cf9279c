"""What every diagnostic has in common, and which ones have a reason not to."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from grok_cli.core.data import Dataset, shuffled
from grok_cli.core.model import Transformer
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from tests.diagnostics.builders import small_network

# Metrics that look at which residue a token is. All others know tokens by their vectors alone.
KNOWS_RESIDUES = {
    "fourier/col_energy": "waves over residues",
    "fourier/embed_gini": "waves over residues",
    "fourier/unembed_gini": "waves over residues",
    "fourier/embed_key_count": "waves over residues",
    "fourier/embed_top_share": "waves over residues",
    "circularity/embed": "waves over residues",
    "progress/restricted_loss": "waves of the answer",
    "progress/excluded_loss": "waves of the answer",
    "progress/key_count": "waves of the answer",
    "progress/key_variance": "waves of the answer",
    "symmetry/distance_irrelevance": "the distance a - b",
    "attention/published_rows_entropy": "the rows of a fixed split",
}


def renamed(
    model: Transformer, dataset: Dataset, names: torch.Tensor
) -> tuple[Transformer, Dataset]:
    """The same network and data where element t is called names[t]."""
    p = dataset.p
    new = torch.cat([names, torch.arange(p, dataset.vocab)])
    twin = Transformer(model.config, dataset.vocab).to(torch.float64)
    twin.load_state_dict(model.state_dict())
    twin.embed.data[new] = model.embed.data.clone()
    if model.unembed is not None and twin.unembed is not None:
        twin.unembed.data[new] = model.unembed.data.clone()
    tokens = new[dataset.tokens]
    row = tokens[:, 0] * p + tokens[:, 1]  # where the pair stands in row-major order
    back = row.argsort()
    return twin, Dataset(
        p,
        dataset.vocab,
        tokens[back],
        new[dataset.labels][back],
        row[dataset.train],
        row[dataset.test],
    )


def both(name: str, **options: Any) -> tuple[dict[str, float], dict[str, float]]:
    """A diagnostic of a network, and of the same network under other names."""
    names = torch.randperm(7, generator=torch.Generator().manual_seed(5))
    subjects = []
    for rename in (False, True):
        model, dataset = small_network(p=7, **options)
        initial, _ = small_network(p=7, **options | {"noise": 0.0})
        if rename:
            initial, _ = renamed(initial, dataset, names)
            model, dataset = renamed(model, dataset, names)
        before = {key: weight.detach() * 0.9 for key, weight in model.trainable().items()}
        subjects.append(Subject(model, dataset, initial, previous=before))
    one, two = (DIAGNOSTICS[name].measure(subject) for subject in subjects)
    return one, two


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_diagnostic_does_not_depend_on_what_tokens_are_called_or_has_a_reason(name: str) -> None:
    plain, other = both(name, ln_type="pre")
    assert plain.keys() == other.keys()
    for metric, value in plain.items():
        if metric in KNOWS_RESIDUES:
            continue
        tolerance = 2e-2 if name == "hessian" else 1e-6  # Lanczos stops at two digits
        assert other[metric] == pytest.approx(value, rel=tolerance, nan_ok=True), metric


def test_what_knows_residues_does_depend_on_what_tokens_are_called() -> None:
    """Counts may agree by chance, and renamed sums are no sums, of which nothing is reported."""
    for name in ("fourier", "circularity", "symmetry", "progress"):
        plain, other = both(name)
        for metric in plain.keys() & KNOWS_RESIDUES.keys():
            if metric.endswith("_count"):
                continue
            changed = math.isnan(other[metric]) or other[metric] != pytest.approx(
                plain[metric], rel=1e-6
            )
            assert changed, metric


def split_of(metric: str) -> str | None:
    """Whose rows a metric is measured on; None: on all rows, or on none."""
    start, _, end = metric.partition("/")
    for split in ("train", "test"):
        if start == split or end.endswith(f"_{split}"):
            return split
    of_training = start in ("numerics", "hessian", "ntk") or end.endswith("/grad")
    return "train" if of_training or metric == "progress/excluded_loss" else None


COUNTS = ("accuracy", "collapse", "/rank_")  # which may stay by chance


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_diagnostic_looks_at_the_rows_that_it_says(name: str) -> None:
    """Other rows in the training set change what is of training rows, and nothing else."""
    model, dataset = small_network(p=7)
    initial, _ = small_network(p=7, noise=0.0)
    values = DIAGNOSTICS[name].measure(Subject(model, dataset, initial))
    for split in ("train", "test"):
        rows = torch.tensor(shuffled(49, 99)[: len(dataset.rows(split))])
        other = dataclasses.replace(dataset, **{split: rows})
        measured = DIAGNOSTICS[name].measure(Subject(model, other, initial))
        for metric, value in values.items():
            same = measured[metric] == pytest.approx(value, rel=1e-9, nan_ok=True)
            if split_of(metric) != split:
                assert same, metric
            elif not any(count in metric for count in COUNTS):
                assert not same, metric


@pytest.mark.parametrize("name", ["attention", "attention-published", "heads", "htsr", "norms"])
def test_each_layer_has_numbers_of_its_own(name: str) -> None:
    """Other weights in the second block change its numbers, and none of the first block's."""
    model, dataset = small_network(n_layers=2, ln_type="pre", mlp_type="gated")
    before = DIAGNOSTICS[name].measure(Subject(model, dataset))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.layers()[1].parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    after = DIAGNOSTICS[name].measure(Subject(model, dataset))
    for metric, value in before.items():
        mean_of_all = name == "htsr" and metric.count("/") == 1
        if mean_of_all or metric.endswith(("/grad", "/ranks")) or math.isnan(value):
            continue
        assert (after[metric] != value) == ("layer1" in metric), metric


# Which metrics see more than weights: the logits, of which an initial model may be subtracted, and
# the loss, which may have a temperature.
OF_LOGITS = ("top2_margin", "numerics/", "progress/", "symmetry/distance", "hessian/", "norms/grad")
OF_LOSS = ("_loss", "numerics/", "hessian/", "norms/grad")


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.parametrize(
    ("settings", "seen_by"),
    [
        ({"subtract_init": True}, OF_LOGITS),
        ({"output_scaling": 2.5, "scale_as": "temperature"}, OF_LOSS),
    ],
    ids=["subtracted", "temperature"],
)
def test_a_diagnostic_sees_the_weights_the_logits_or_the_loss(
    name: str, settings: dict[str, Any], seen_by: tuple[str, ...]
) -> None:
    """Networks of the same weights, of which one has its initial output subtracted, or another
    temperature in its loss."""

    def measured(**options: Any) -> dict[str, float]:
        model, dataset = small_network(p=7, **options)
        initial, _ = small_network(p=7, noise=0.0, **options)
        return DIAGNOSTICS[name].measure(Subject(model, dataset, initial))

    plain, other = measured(), measured(**settings)
    assert plain.keys() == other.keys()
    for metric, value in plain.items():
        same = other[metric] == pytest.approx(value, rel=1e-9, nan_ok=True)
        # norms/embed/grad; of what is subtracted "spec" sees nothing
        kind = "norms/grad" if metric.endswith("/grad") else metric
        unseen = "spec" in metric and "subtract_init" in settings
        if unseen or not any(part in kind for part in seen_by):
            assert same, metric
        elif not any(count in metric for count in (*COUNTS, "_count")):
            assert not same, metric

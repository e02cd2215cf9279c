"""What every diagnostic has in common, and which ones have a reason not to."""

import math
from typing import Any

import pytest
import torch

from grok_cli.core.data import Dataset
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

"""The figure of one network."""

import torch

from grok_cli.figures.network import draw_network
from tests.diagnostics.builders import small_subject


def test_heads_of_a_layer_share_the_scale_of_their_weights() -> None:
    subject = small_subject(n_layers=2)
    figure = draw_network(subject, "a run, step 7")
    assert figure.get_suptitle() == "a run, step 7"
    for layer, panel in enumerate(figure.subfigs[1:]):
        weights = subject.trace.attention[layer][:, :, -1, :2]
        images = [axes.images[0] for axes in panel.axes if axes.images]
        assert len(images) == 4  # two heads, to a and to b
        for image in images:
            assert image.get_clim() == (float(weights.min()), float(weights.max()))


def test_pairs_without_an_answer_stay_empty() -> None:
    from grok_cli.figures.network import on_grid

    subject = small_subject(task="divide")
    grid = on_grid(subject, torch.ones(len(subject.dataset.tokens)))
    assert grid[:, 0].isnan().all()
    assert not grid[:, 1:].isnan().any()

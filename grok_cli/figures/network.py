"""What one network looks like inside: spectra, attention over the grid, and its logits' waves."""

from typing import Any

import matplotlib
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from grok_cli.diagnostics.measures.fourier import wave_norms
from grok_cli.diagnostics.subject import Subject
from grok_cli.figures.style import BLUE, ORANGE, SETTINGS

# Both are even in lightness and the same to eyes without green or red (Nuñez et al. 2018; Crameri).
WEIGHTS, LOGITS = "cividis", "RdBu_r"
TABLES = (("embedding", BLUE, "o"), ("unembedding", ORANGE, "s"))


@torch.no_grad()
def draw_network(subject: Subject, title: str = "", style: str = "screen") -> Figure:
    """Top: norms of the waves in embedding and unembedding, and the mean logit of each class
    against the true answer. Below: each head's attention from = to a and to b, over all pairs.

    The heads of a layer share one scale, from the lowest weight to the highest of them all."""
    with matplotlib.rc_context(SETTINGS[style]):
        return _draw(subject, title)


def _draw(subject: Subject, title: str) -> Figure:
    p, heads = subject.dataset.p, subject.config.n_heads
    layers = len(subject.trace.attention)
    figure = Figure(figsize=(2.9 * max(heads, 3) + 1, 3.6 + 5.6 * layers), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    panels = figure.subfigures(1 + layers, 1, height_ratios=[3.6] + [5.6] * layers, squeeze=False)
    top, *rest = panels.flat

    spectra, answers = top.subplots(1, 2, width_ratios=[2, 1])
    tables = {"embedding": subject.model.embed, "unembedding": subject.model.unembedding}
    for name, colour, marker in TABLES:
        norms = wave_norms(tables[name][:p])
        places = range(1, len(norms) + 1)
        spectra.plot(places, norms.tolist(), color=colour, marker=marker, ms=4, lw=1, label=name)
    spectra.set(xlabel="frequency", ylabel="norm of its wave", ylim=(0, None))
    spectra.legend()
    logits = mean_logits(subject)
    largest = float(logits.abs().max())
    image = _image(answers, logits, LOGITS, (-largest, largest))
    answers.set(xlabel="class", ylabel="true answer")
    top.colorbar(image, ax=answers, label="mean logit", shrink=0.9)

    for layer, panel in enumerate(rest):
        axes = panel.subplots(2, heads, squeeze=False, sharex=True, sharey=True)
        weights = subject.trace.attention[layer][:, :, -1, :2]
        limits = float(weights.min()), float(weights.max())
        for head in range(heads):
            for key, name in enumerate("ab"):
                grid = on_grid(subject, weights[:, head, key])
                image = _image(axes[key][head], grid, WEIGHTS, limits)
                axes[key][head].set_title(f"head {head}, = to {name}", fontsize="medium")
        for row in axes:
            row[0].set_ylabel("a")
        for bottom in axes[-1]:
            bottom.set_xlabel("b")
        where = f" of layer {layer}" if layers > 1 else ""
        panel.colorbar(image, ax=axes, label=f"attention{where}", shrink=0.8)
    return figure


def on_grid(subject: Subject, values: Float[Tensor, " batch"]) -> Float[Tensor, "p p"]:
    """Values of all pairs at [a, b]; nan where the task is not defined."""
    p = subject.dataset.p
    grid = values.new_full((p, p), torch.nan)
    a, b = subject.dataset.tokens[:, 0], subject.dataset.tokens[:, 1]
    grid[a, b] = values
    return grid


def mean_logits(subject: Subject) -> Float[Tensor, "answer vocab"]:
    """Mean of the logits over the pairs of each answer, less each row's mean."""
    logits, labels = subject.logits("all"), subject.labels("all")
    centred = logits - logits.mean(dim=1, keepdim=True)
    total = centred.new_zeros(subject.dataset.vocab, logits.shape[1]).index_add_(0, labels, centred)
    counts = labels.bincount(minlength=subject.dataset.vocab)
    return (total / counts[:, None])[counts > 0]


def _image(
    axes: Axes,
    values: Float[Tensor, "rows columns"],
    colours: str,
    limits: tuple[float, float],
) -> Any:
    axes.grid(visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    return axes.imshow(
        values.numpy(), cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )

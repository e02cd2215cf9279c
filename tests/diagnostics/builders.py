"""Small networks to measure: random ones, and one built by hand that adds as a clock does."""

import math
from typing import Any

import torch

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.diagnostics.subject import Subject


def small_network(
    p: int = 5, noise: float = 0.3, task: str = "add", seed: int = 3, **model: Any
) -> tuple[Transformer, Dataset]:
    """A float64 network with random norms and biases too, and its data."""
    settings = {"d_model": 8, "n_heads": 2, "norm_eps": 1e-5} | model
    config = Config.model_validate(
        {
            "data": {"modulus": p, "task": task, "test_ratio": 0.4},
            "model": settings,
            "train": {"dtype": "float64", "seed": seed},
        }
    )
    dataset = Dataset.of(config)
    network = initial_model(config, dataset.vocab)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in network.trainable().values():
            parameter += noise * torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )
    return network, dataset


def small_subject(initial: bool = False, **options: Any) -> Subject:
    model, dataset = small_network(**options)
    start = small_network(**options | {"noise": 0.0})[0] if initial else None
    return Subject(model, dataset, start)


CLOCK_FREQUENCIES = (3, 5)
BIG = 1e3  # attention scores this far apart are one-hot, gelu(x) = x for x this large


def clock(p: int = 13, scale: float = 20.0) -> tuple[Transformer, Dataset]:
    """A network that adds modulo p with the angles of two frequencies, exactly.

    Tokens are embedded on circles; head 0 copies a, head 1 copies b to the last position; the
    gated MLP multiplies, (u + B) v - B v = u v, to give cos(w (a + b)) and sin(w (a + b)); the
    unembedding reads off scale * sum over w of cos(w (a + b - c)). Nothing is learned.
    """
    model, dataset = small_network(
        p, noise=0.0, d_model=32, mlp_ratio=1, mlp_type="gated", n_heads=2
    )
    block = model.blocks[0]
    w_q, w_k, w_v = block.attn.qkv.data.chunk(3)
    token, copied, answer = 0, (8, 16), 24  # first channel of each four-channel circle pair
    flag, query = (4, 5), 6  # channels of the positions, and one that "=" alone has
    for parameter in model.parameters():
        parameter.data.zero_()
    angles = 2 * math.pi * torch.arange(p).double()[:, None] * torch.tensor(CLOCK_FREQUENCIES) / p
    circles = torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)
    model.embed.data[:p, token : token + 4] = circles
    model.embed.data[p, query] = 1
    model.unembed.data[:p, answer : answer + 4] = scale * circles
    for head in (0, 1):
        start = 16 * head
        model.pos.data[head, flag[head]] = 1
        w_q[start, query] = BIG * math.sqrt(16)
        w_k[start, flag[head]] = 1
        for channel in range(4):
            w_v[start + channel, token + channel] = 1
            block.attn.out.data[copied[head] + channel, start + channel] = 1
    unit = 0
    for wave in (0, 2):
        cos_a, sin_a = copied[0] + wave, copied[0] + wave + 1
        cos_b, sin_b = copied[1] + wave, copied[1] + wave + 1
        cos, sin = answer + wave, answer + wave + 1
        products = [(cos_a, cos_b, cos, 1), (sin_a, sin_b, cos, -1)]
        products += [(sin_a, cos_b, sin, 1), (cos_a, sin_b, sin, 1)]
        for u, v, target, sign in products:
            for factor, weight in ((1, sign), (0, -sign)):
                block.mlp.w_in.data[unit, u] = factor
                block.mlp.b_in.data[unit] = BIG
                block.mlp.w_gate.data[unit, v] = 1
                block.mlp.w_out.data[target, unit] = weight
                unit += 1
    return model, dataset

"""The initial weights: how each is distributed, and which random numbers it gets.

    embedding, unembedding          normal, std 1/sqrt(d)
    positions                       normal, std 0.02
    q, k, v as one (3d, d) matrix   Xavier-uniform
    attention output, MLP           by `model.init`: truncated normal (LeCun) or normal (Kaiming)
    biases 0, norm gains 1; then everything times `init_scale`

`model.init_draws` says whose random numbers. `published`: those of the published code (arXiv
2602.06702) on the NVIDIA GPU where its runs were made, so that a seed here starts from the weights
of that seed there. `cpu`: PyTorch's CPU generator, parameter by parameter.
"""

import torch
from torch import Tensor, nn

from grok_cli.core.config import Config
from grok_cli.core.gpu_random import GpuRandom
from grok_cli.core.model import Transformer

POSITION_STD = 0.02


def initial_model(config: Config, vocab: int) -> Transformer:
    """The model of a run with its initial weights, which `train.seed` alone decides.

    The weights are drawn in float32 whatever the device and type of the run.
    """
    model = Transformer(config.model, vocab)
    draw = draw_as_published if config.model.init_draws == "published" else draw_on_cpu
    with torch.no_grad():
        draw(model, config.train.seed)
        for parameter in model.trainable().values():
            parameter.mul_(config.model.init_scale)
    if model.initial is not None:
        model.initial.load_state_dict(model.state_dict(), strict=False)
    return model.to(getattr(torch, config.train.dtype))


def draw_on_cpu(model: Transformer, seed: int) -> None:
    """One stream of PyTorch's CPU generator, in the order of the parameters."""
    config, generator = model.config, torch.Generator().manual_seed(seed)

    def matrix(weight: Tensor) -> None:
        if config.init == "kaiming":
            nn.init.kaiming_normal_(weight, generator=generator)
        else:
            std = weight.shape[1] ** -0.5
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)

    nn.init.normal_(model.embed, std=config.d_model**-0.5, generator=generator)
    nn.init.normal_(model.pos, std=POSITION_STD, generator=generator)
    for block in model.layers():
        nn.init.xavier_uniform_(block.attn.qkv, generator=generator)
        for weight in (block.attn.out, *block.mlp.matrices()):
            matrix(weight)
    if model.unembed is not None:
        nn.init.normal_(model.unembed, std=config.d_model**-0.5, generator=generator)


def draw_as_published(model: Transformer, seed: int) -> None:
    """Two streams of one seed, as the published code uses them.

    Its modules draw on the CPU when they are made; then all but positions and q, k, v are drawn
    again, on the GPU, module by module. What is drawn again advances the CPU's stream all the same.
    """
    config, cpu, gpu = model.config, torch.Generator().manual_seed(seed), GpuRandom(seed)

    # When the modules are made. nn.Linear draws weight and bias from uniform distributions.
    torch.empty(model.embed.shape).normal_(generator=cpu)
    nn.init.normal_(model.pos, std=POSITION_STD, generator=cpu)
    for block in model.layers():
        torch.empty(block.attn.out.shape).uniform_(generator=cpu)
        nn.init.xavier_uniform_(block.attn.qkv, generator=cpu)
        for weight in block.mlp.matrices():
            torch.empty(weight.shape).uniform_(generator=cpu)
            torch.empty(weight.shape[0]).uniform_(generator=cpu)

    # When the model is initialised. The unembedding there is stored as (d, vocab).
    model.embed.copy_(gpu.normal(tuple(model.embed.shape), config.d_model**-0.5))
    for block in model.layers():
        for weight in (block.attn.out, *block.mlp.matrices()):
            shape, fan_in = tuple(weight.shape), weight.shape[1]
            if config.init == "kaiming":
                weight.copy_(gpu.normal(shape, (2 / fan_in) ** 0.5))
            else:
                weight.copy_(gpu.trunc_normal(shape, fan_in**-0.5))
    if model.unembed is not None:
        vocab, d = model.unembed.shape
        model.unembed.copy_(gpu.normal((d, vocab), d**-0.5).T)

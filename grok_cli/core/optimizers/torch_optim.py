"""The optimisers of `torch.optim` behind our interface.

Their buffers are made here, as zeros, before the first step, which then does what it would have
done without any: a state has one shape whenever it is taken.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grok_cli.core.opt_config import OptConfig
from grok_cli.core.optimizers.adamw import AdamW
from grok_cli.errors import UsageError


class TorchOptimizer:
    """One of `torch.optim`, with these tensors of each parameter as its state."""

    def __init__(self, optimizer: torch.optim.Optimizer, kept: Sequence[str]) -> None:
        """
        Args:
            optimizer: one that has not made a step.
            kept: the names of its buffers; "step" is a number, the others have a parameter's shape.
        """
        self.optimizer = optimizer
        (self.group,) = optimizer.param_groups
        self.buffers: dict[str, list[Tensor]] = {name: [] for name in kept}
        for parameter in self.group["params"]:
            for name in kept:
                zero = torch.zeros((), device=parameter.device)
                buffer = zero if name == "step" else torch.zeros_like(parameter)
                optimizer.state[parameter][name] = buffer
                self.buffers[name].append(buffer)

    def step(self, learning_rate: float) -> None:
        self.group["lr"] = learning_rate
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return self.buffers

    def load(self, state: dict[str, Any]) -> None:
        copy_into(self.buffers, state)


def copy_into(mine: Mapping[str, Sequence[Tensor]], state: Mapping[str, Sequence[Tensor]]) -> None:
    """Overwrite lists of tensors with those of the same name in a state."""
    for name, tensors in mine.items():
        for tensor, there in zip(tensors, state[name], strict=True):
            tensor.copy_(there)


def sgd(parameters: Mapping[str, Tensor], config: OptConfig) -> TorchOptimizer:
    """Gradient descent with momentum (Polyak 1964, as `torch.optim.SGD` has it).

    With decay in the gradient, for each parameter x of gradient g:

        b <- mu b + (g + wd x);   x <- x - lr b
    """
    momentum = config.momentum_or_default
    optimizer = torch.optim.SGD(
        list(parameters.values()), momentum=momentum, weight_decay=config.weight_decay
    )
    return TorchOptimizer(optimizer, ["momentum_buffer"] if momentum else [])


def adam(parameters: Mapping[str, Tensor], config: OptConfig) -> TorchOptimizer:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), whose decay is part of the gradient.

    g <- g + wd x;   m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
    x <- x - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
    """
    optimizer = torch.optim.Adam(
        list(parameters.values()),
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )
    return TorchOptimizer(optimizer, ["step", "exp_avg", "exp_avg_sq"])


class Muon:
    """Muon on the matrices of the blocks, AdamW on all other parameters.

    For each matrix X of gradient G (Jordan et al. 2024, kellerjordan.github.io/posts/muon; scaled
    as in arXiv 2502.16982, so that learning rate and decay are those of AdamW):

        B <- mu B + (1 - mu) G;   X <- X (1 - lr wd)
        X <- X - lr 0.2 sqrt(max(rows, columns)) NS(mu B + (1 - mu) G)

    NS(M), five Newton-Schulz steps in bfloat16, is about U V^T of the singular value decomposition
    U S V^T = M. The matrices of queries, keys and values, stored as one, count as three. AdamW has
    embeddings, unembedding, positions, biases and gains, as Muon's authors advise.
    """

    def __init__(self, parameters: Mapping[str, Tensor], config: OptConfig) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise UsageError(
                f"opt.optimizer: muon needs PyTorch 2.9 or later, this is {torch.__version__}; "
                "`pip install --upgrade torch`, or choose another optimiser"
            )
        in_blocks = {
            name: p for name, p in parameters.items() if name.startswith("blocks.") and p.ndim == 2
        }
        self.sources = [(p, 3 if name.endswith(".qkv") else 1) for name, p in in_blocks.items()]
        self.matrices = [
            part for p, count in self.sources for part in p.detach().chunk(count)
        ]  # which share the parameters' memory
        muon = torch.optim.Muon(
            self.matrices,
            momentum=config.momentum_or_default,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self.muon = TorchOptimizer(muon, ["momentum_buffer"])
        self.adamw = AdamW([p for n, p in parameters.items() if n not in in_blocks], config)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        gradients = [
            part for p, count in self.sources if p.grad is not None for part in p.grad.chunk(count)
        ]
        for matrix, gradient in zip(self.matrices, gradients, strict=True):
            matrix.grad = gradient
        self.muon.step(learning_rate)
        self.adamw.step(learning_rate)

    def state(self) -> dict[str, Any]:
        return {"muon": self.muon.state(), "adamw": self.adamw.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.muon.load(state["muon"])
        self.adamw.load(state["adamw"])

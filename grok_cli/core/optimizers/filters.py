"""What may be done to the gradients before the optimiser sees them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from grok_cli.core.opt_config import OptConfig
from grok_cli.core.optimizers.torch_optim import copy_into

TINY = 1e-30  # keeps 0 / 0 out, as in the authors' code


class GradientFilter(Protocol):
    """Changes gradients in place; state and load as of an `Optimizer`."""

    def apply(self) -> None: ...

    def state(self) -> dict[str, list[Tensor]]: ...

    def load(self, state: dict[str, Any]) -> None: ...


def gradients_of(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients, all of which must be there."""
    return [p.grad for p in parameters if p.grad is not None]


class GrokfastEma:
    """Grokfast-EMA (Lee et al. 2024, arXiv 2405.20233; their gradfilter_ema).

    With the gradient g, its running mean m, decay alpha and strength lambda:

        m <- alpha m + (1 - alpha) g  (the first m is g);   g <- g + lambda m
    """

    def __init__(self, parameters: Sequence[Tensor], config: OptConfig) -> None:
        self.parameters, self.decay = parameters, config.filter_decay
        self.strength = config.filter_strength_or_default
        self.mean = [torch.zeros_like(p) for p in parameters]
        self.seen = torch.zeros(())  # gradients so far

    def apply(self) -> None:
        gradients = gradients_of(self.parameters)
        torch._foreach_lerp_(self.mean, gradients, 1.0 if self.seen == 0 else 1 - self.decay)
        self.seen += 1
        torch._foreach_add_(gradients, self.mean, alpha=self.strength)

    def state(self) -> dict[str, list[Tensor]]:
        return {"mean": self.mean, "seen": [self.seen]}

    def load(self, state: dict[str, Any]) -> None:
        copy_into(self.state(), state)


class GrokfastMa:
    """Grokfast-MA (arXiv 2405.20233; their gradfilter_ma with warmup and "mean").

    With the gradient g and strength lambda, once there were w gradients:

        g <- g + lambda (mean of the last w gradients, this one included)

    The mean comes from a running sum in float64, whose rounding is below that of the gradients.
    """

    def __init__(self, parameters: Sequence[Tensor], config: OptConfig) -> None:
        self.parameters, self.window = parameters, config.filter_window
        self.strength = config.filter_strength_or_default
        self.last = [p.new_zeros((self.window, *p.shape)) for p in parameters]
        self.sum = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        self.seen = torch.zeros((), dtype=torch.int64)  # gradients so far

    def apply(self) -> None:
        gradients, slot = gradients_of(self.parameters), int(self.seen) % self.window
        oldest = [last[slot] for last in self.last]
        torch._foreach_sub_(self.sum, oldest)
        torch._foreach_add_(self.sum, gradients)
        torch._foreach_copy_(oldest, gradients)
        self.seen += 1
        if self.seen < self.window:
            return
        for gradient, total in zip(gradients, self.sum, strict=True):
            gradient += (self.strength / self.window * total).to(gradient.dtype)

    def state(self) -> dict[str, list[Tensor]]:
        return {"last": self.last, "sum": self.sum, "seen": [self.seen]}

    def load(self, state: dict[str, Any]) -> None:
        copy_into(self.state(), state)


class Orthogonal:
    """The orthogonal gradient (Prieto et al. 2025, arXiv 2501.04697; their OrthoGrad).

    For each parameter tensor x of gradient g, no part along x, at the length that g had:

        h = g - (x . g) / (x . x) x;   g <- |g| / |h| h
    """

    def __init__(self, parameters: Sequence[Tensor], config: OptConfig) -> None:
        self.parameters = parameters

    def apply(self) -> None:
        for x, g in zip(self.parameters, gradients_of(self.parameters), strict=True):
            length = g.norm()
            g.sub_(x * ((x * g).sum() / (x.square().sum() + TINY)))
            g.mul_(length / (g.norm() + TINY))

    def state(self) -> dict[str, list[Tensor]]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """It keeps nothing."""


FILTERS: dict[str, Callable[[Sequence[Tensor], OptConfig], GradientFilter]] = {
    "grokfast-ema": GrokfastEma,
    "grokfast-ma": GrokfastMa,
    "orthogonal": Orthogonal,
}

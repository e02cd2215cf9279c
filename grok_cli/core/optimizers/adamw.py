"""AdamW, without the compiler that `torch.optim` brings along.

Making a `torch.optim.AdamW` imports `torch._dynamo`, which doubles the time that a run takes to
start. This calls the same fused kernel and gives the same bits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from grok_cli.core.opt_config import OptConfig


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101).

    With gradient g, step t and learning rate lr, for each parameter x:

        x <- x (1 - lr wd);   m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
        x <- x - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
    """

    def __init__(self, parameters: Sequence[Tensor], config: OptConfig) -> None:
        self.parameters, self.config = list(parameters), config
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.t = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters from their gradients, all of which must be there."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_add_(self.t, 1)
        torch._fused_adamw_(
            self.parameters,
            gradients,
            self.m,
            self.v,
            [],
            self.t,
            lr=learning_rate,
            beta1=self.config.beta1,
            beta2=self.config.beta2,
            weight_decay=self.config.weight_decay,
            eps=self.config.eps,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Any]:
        """The moments and step counts, which `load` takes back."""
        return {"m": self.m, "v": self.v, "t": self.t}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        for name, mine in self.state().items():
            torch._foreach_copy_(mine, [tensor.to(mine[0].device) for tensor in state[name]])

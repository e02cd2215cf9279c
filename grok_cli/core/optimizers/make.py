"""Which optimiser a run gets."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from grok_cli.core.opt_config import OptConfig
from grok_cli.core.optimizers.adamw import AdamW
from grok_cli.core.optimizers.filters import FILTERS, GradientFilter
from grok_cli.core.optimizers.optimizer import Optimizer
from grok_cli.core.optimizers.torch_optim import Muon, adam, sgd

UPDATES: dict[str, Callable[[Mapping[str, Tensor], OptConfig], Optimizer]] = {
    "adamw": lambda parameters, config: AdamW(list(parameters.values()), config),
    "sgd": sgd,
    "adam": adam,
    "muon": Muon,
}


def make_optimizer(parameters: Mapping[str, Tensor], config: OptConfig) -> Optimizer:
    """The optimiser of these parameters by name.

    Raises:
        UsageError: the installed PyTorch does not have it.
    """
    update = UPDATES[config.optimizer](parameters, config)
    if config.gradient_filter == "off" and config.weight_norm is None:
        return update
    return Composed(parameters, update, config)


class Composed:
    """Filters the gradients, updates, and brings the weights back to their norm, as asked."""

    def __init__(
        self, parameters: Mapping[str, Tensor], update: Optimizer, config: OptConfig
    ) -> None:
        self.parameters, self.update = list(parameters.values()), update
        self.weight_norm = config.weight_norm
        self.filter: GradientFilter | None = None
        if config.gradient_filter != "off":
            self.filter = FILTERS[config.gradient_filter](self.parameters, config)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        if self.filter is not None:
            self.filter.apply()
        self.update.step(learning_rate)
        if self.weight_norm is not None:
            norms = torch._foreach_norm(self.parameters)
            torch._foreach_mul_(self.parameters, self.weight_norm / torch.stack(norms).norm())

    def state(self) -> dict[str, Any]:
        filtering = {} if self.filter is None else {"filter": self.filter.state()}
        return {"update": self.update.state(), **filtering}

    def load(self, state: dict[str, Any]) -> None:
        self.update.load(state["update"])
        if self.filter is not None:
            self.filter.load(state["filter"])

"""How gradients become updates.

optimizer.py   the interface
adamw.py       the default, without torch.optim
torch_optim.py torch.optim's optimisers behind the interface
filters.py     what may be done to the gradients before
make.py        which one a run gets
"""

from grok_cli.core.optimizers.make import make_optimizer
from grok_cli.core.optimizers.optimizer import Optimizer

__all__ = ["Optimizer", "make_optimizer"]

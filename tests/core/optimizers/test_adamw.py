"""AdamW against torch's."""

import pytest
import torch

from grok_cli.core.opt_config import OptConfig
from grok_cli.core.optimizers.adamw import AdamW


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adamw_matches_torch_bit_for_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [torch.randn(shape, generator=generator, dtype=dtype) for shape in [(7, 5), (3,)]]
    theirs = [p.clone() for p in mine]
    config = OptConfig(learning_rate=0.01, weight_decay=0.3, eps=1e-6)
    ours = AdamW(mine, config)
    reference = torch.optim.AdamW(
        theirs, lr=0.01, betas=(config.beta1, config.beta2), eps=1e-6, weight_decay=0.3, fused=True
    )
    for step in range(100):
        if step == 50:  # goes on from its state
            state, ours = ours.state(), AdamW(mine, config)
            ours.load(state)
        for p, q in zip(mine, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator, dtype=dtype)
            q.grad = p.grad.clone()
        for group in reference.param_groups:
            group["lr"] = 0.01 / (1 + step)
        ours.step(0.01 / (1 + step))
        reference.step()
    assert all(p.equal(q) for p, q in zip(mine, theirs, strict=True))

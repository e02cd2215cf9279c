"""Attention: what a position takes over from the others."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grok_cli.core.model_config import ModelConfig
from grok_cli.core.norm import Norm, normed
from grok_cli.core.placement import HEAD_SITES, NORM_OF_SITE, PLACEMENTS
from grok_cli.core.positions import POSITIONS, last
from grok_cli.core.steps import UNWATCHED, Steps


class Attention(nn.Module):
    """Multi-head attention without mask and bias, whose q and k may see another input than v, and
    have norms of their own. If uniform, q and k are 0, and so are all scores."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.uniform = config.n_heads, config.attention == "uniform"
        width, sites = config.d_model // config.n_heads, PLACEMENTS[config.ln_type].sites
        self.norms = nn.ModuleDict(
            {NORM_OF_SITE[s]: Norm(config, width=width) for s in HEAD_SITES if s in sites}
        )
        self.qkv = nn.Parameter(torch.empty(3 * config.d_model, config.d_model))
        self.out = nn.Parameter(torch.empty(config.d_model, config.d_model))

    def forward(
        self,
        x_qk: Float[Tensor, "batch pos d"],
        x_v: Float[Tensor, "batch pos d"],
        step: Steps = UNWATCHED,
        queries: int = POSITIONS,
    ) -> Float[Tensor, "batch query d"]:
        """The output at so many of the last positions."""
        q, k, v = self.project(x_qk, x_v, queries, step.within("attn"))
        q, k, v = step("q", q), step("k", k), step("v", v)
        scores = step("scores", q @ k.mT / math.sqrt(q.shape[-1]))
        pattern = step("pattern", scores.softmax(dim=-1))
        z = step("z", pattern @ v)
        return step("attn_linear", z.transpose(1, 2).flatten(2) @ self.out.T)

    def project(
        self,
        x_qk: Float[Tensor, "*batch pos d"],
        x_v: Float[Tensor, "*batch pos d"],
        queries: int = POSITIONS,
        step: Steps = UNWATCHED,
    ) -> tuple[
        Float[Tensor, "*batch head query k"],
        Float[Tensor, "*batch head pos k"],
        Float[Tensor, "*batch head pos k"],
    ]:
        """Queries of so many of the last positions, keys and values."""
        w_q, w_k, w_v = self.qkv.chunk(3)
        q, k, v = last(x_qk, queries) @ w_q.T, x_qk @ w_k.T, x_v @ w_v.T
        if self.uniform:
            q, k = 0 * q, 0 * k
        q, k = self.norm("q", self.split(q), step), self.norm("k", self.split(k), step)
        return q, k, self.split(v)

    def norm(
        self, site: str, x: Float[Tensor, "*batch pos k"], step: Steps
    ) -> Float[Tensor, "*batch pos k"]:
        """x, normalised if the placement has a norm at this site."""
        name = NORM_OF_SITE[site]
        if name not in self.norms:
            return x
        return normed(self.norms[name], x, step.within(f"norms.{name}"))

    def split(self, x: Float[Tensor, "*batch pos d"]) -> Float[Tensor, "*batch head pos k"]:
        return x.reshape(*x.shape[:-1], self.n_heads, -1).transpose(-3, -2)

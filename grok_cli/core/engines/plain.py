"""The plain engine: the readable model, and autograd."""

import torch
from jaxtyping import Int
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines.engine import Score
from grok_cli.core.loss import correct_rows, losses_of
from grok_cli.core.model import Transformer


class PlainEngine:
    """The readable model and autograd."""

    kernels = "torch"

    def __init__(self, config: Config, model: Transformer, dataset: Dataset) -> None:
        self.model, self.dataset = model, dataset
        self.losses = losses_of(config.train)
        self.dtype: torch.dtype = getattr(torch, config.train.loss_dtype)

    def step(self, rows: Int[Tensor, " batch"]) -> Score:
        self.model.zero_grad(set_to_none=True)
        score = self._score(rows)
        score.loss.backward()  # type: ignore[no-untyped-call]
        return Score(score.loss.detach(), score.correct)

    @torch.no_grad()
    def evaluate(self, rows: Int[Tensor, " batch"]) -> Score:
        return self._score(rows)

    def _score(self, rows: Int[Tensor, " batch"]) -> Score:
        labels = self.dataset.labels[rows]
        logits = self.model(self.dataset.tokens[rows])
        losses = self.losses(logits * self.model.loss_scale, labels, self.dtype)
        return Score(losses.mean(), correct_rows(logits, labels))

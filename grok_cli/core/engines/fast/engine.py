"""The fast engine: chooses the form that fits a model, and keeps the rows that come again."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast.choice import choose_kernels
from grok_cli.core.engines.fast.crew import Crew
from grok_cli.core.engines.fast.factors import FactoredForm
from grok_cli.core.engines.fast.layers import LayeredForm
from grok_cli.core.engines.fast.tables import RowLookups
from grok_cli.core.loss import losses_of
from grok_cli.core.model import Transformer
from grok_cli.core.process import one_thread

CHUNK = 640  # most rows computed together on a CPU, so that they stay in its cache


class FastEngine:
    """Same scores and gradients as `PlainEngine`, whatever the number of threads.

    On a CPU it has as many threads as torch has when it is made.
    """

    def __init__(self, config: Config, model: Transformer, dataset: Dataset) -> None:
        self.model, self.dataset = model, dataset
        on_cpu = dataset.labels.device.type == "cpu"
        chunk = CHUNK if on_cpu else len(dataset.labels)
        self.crew = Crew(torch.get_num_threads() if on_cpu else 1)
        loss_dtype: torch.dtype = getattr(torch, config.train.loss_dtype)
        losses = losses_of(config.train)
        self.form: FactoredForm | LayeredForm
        factored = FactoredForm.fits(model, losses)
        self.kernels = choose_kernels(config, dataset.labels.device, factored)
        if factored:
            self.form = FactoredForm(model, dataset.p, loss_dtype, chunk, self.crew, self.kernels)
        else:
            self.form = LayeredForm(
                model, dataset.p, losses, loss_dtype, chunk, self.crew, self.kernels
            )
        self.initial = initial_logits(model, dataset, chunk)
        self.known: list[tuple[Tensor, RowLookups]] = []

    def step(self, rows: Int[Tensor, " batch"]) -> Score:
        self.model.zero_grad(set_to_none=True)
        with one_thread():
            return self.form.step(self.rows(rows))

    @torch.no_grad()
    def evaluate(self, rows: Int[Tensor, " batch"]) -> Score:
        with one_thread():
            return self.form.evaluate(self.rows(rows))

    def rows(self, numbers: Int[Tensor, " batch"]) -> RowLookups:
        """These rows as look-ups, which are kept for the training and the test set."""
        for known, rows in self.known:
            if known is numbers:
                return rows
        n_heads, n_queries = self.model.config.n_heads, self.form.n_queries
        rows = RowLookups.of(self.dataset, numbers, n_heads, n_queries, self.initial)
        if numbers is self.dataset.train or numbers is self.dataset.test:
            self.known.append((numbers, rows))
        return rows


@torch.no_grad()
@one_thread()
def initial_logits(
    model: Transformer, dataset: Dataset, chunk: int
) -> Float[Tensor, "rows vocab"] | None:
    """What `subtract_init` subtracts from the logits of every row, as the loss sees them."""
    if model.initial is None:
        return None
    logits = [model.initial(tokens) for tokens in torch.split(dataset.tokens, chunk)]
    return torch.cat(logits) * model.loss_scale

"""The rows of the factored form: their scores, and gradients by hand, chunk by chunk.

The formulas and their numbers are those of `fast/__init__.py`. A chunk of rows goes forward,
through the loss and back before the next one starts, so that what it needs stays in the processor's
cache. That is possible because the loss is a mean over rows: the gradient of a row is final once
the row is done, and chunks may be computed side by side.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast.crew import Crew
from grok_cli.core.engines.fast.products import Products
from grok_cli.core.engines.fast.tables import RowLookups
from grok_cli.core.model_config import ModelConfig

aten = torch.ops.aten

# name -> (activation, its backward: (gradient of the output, input, where to put the result))
ACTIVATIONS: dict[
    str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]
] = {
    "gelu": (F.gelu, lambda grad, x, out: aten.gelu_backward(grad, x, grad_input=out)),
    "relu": (F.relu, lambda grad, x, out: aten.threshold_backward(grad, x, 0, grad_input=out)),
    "silu": (F.silu, lambda grad, x, out: aten.silu_backward(grad, x, grad_input=out)),
}


class Factors(NamedTuple):
    """What rows are computed from; a gradient has the same form.

    Attributes:
        table: A, whose sums over a row's terms are first the MLP's inputs (before the division by
            sigma), then (with a norm before the MLP) C r, then the logits without the MLP's part,
            and zeros up to a multiple of columns at which sums are fastest.
        weight: w, and 1 for the constant line.
        readout: V.
        bias: what the MLP's inputs get after the norm; None without a norm before the MLP.
    """

    table: Float[Tensor, "line column"]
    weight: Float[Tensor, "batch term"]
    readout: Float[Tensor, "vocab hidden"]
    bias: Float[Tensor, " inputs"] | None

    def tensors(self) -> list[Tensor]:
        """The factors that there are, in one order."""
        return [factor for factor in self if factor is not None]

    def detached(self) -> "Factors":
        """The same numbers, of which autograd knows nothing."""
        return Factors(
            self.table.detach(),
            self.weight.detach(),
            self.readout.detach(),
            None if self.bias is None else self.bias.detach(),
        )


class Answer(NamedTuple):
    """How rows were answered.

    With S = sum over c != y of exp(l_c - l_y), the cross-entropy is log(1 + S), its gradient
    exp(l_c - l_y) / (1 + S) for c != y and -S / (1 + S) for y. S is kept as a logarithm with its
    largest term taken out, so that nothing overflows, underflows or cancels.

    Attributes:
        score: sum of the rows' cross-entropies, and how many have their largest logit at the label.
        shares: exp(l_c - l_y) for c != y and 0 for y, divided by the largest of a row.
        wrong: probability of a wrong answer, S / (1 + S).
    """

    score: Score
    shares: Float[Tensor, "batch vocab"]
    wrong: Float[Tensor, "batch 1"]

    @classmethod
    def of(
        cls,
        logits: Float[Tensor, "batch vocab"],
        labels: Int[Tensor, "batch 1"],
        dtype: torch.dtype,
    ) -> "Answer":
        """The answer that these logits give; overwrites them. The loss is summed in `dtype`."""
        label_logit = logits.gather(1, labels)
        rival, rival_class = logits.scatter_(1, labels, -torch.inf).max(1, keepdim=True)
        won_ties = (label_logit == rival) & (labels < rival_class)  # argmax takes the first
        correct = ((label_logit > rival) | won_ties).sum()
        shares = (logits - rival).exp_()
        log_s = (rival - label_logit).to(dtype) + shares.sum(1, keepdim=True).to(dtype).log()
        loss = F.softplus(log_s, threshold=40).sum()
        return cls(Score(loss, correct), shares, log_s.sigmoid().to(logits.dtype))

    def write_gradient(
        self, labels: Int[Tensor, "batch 1"], factor: float, out: Float[Tensor, "batch vocab"]
    ) -> None:
        """Put the gradient of the loss times a factor into `out`."""
        wrong = factor * self.wrong
        torch.mul(self.shares, wrong / self.shares.sum(1, keepdim=True), out=out)
        out.scatter_(1, labels, -wrong)


def mean_score(sums: Sequence[Score], n: int) -> Score:
    """The score of n rows from those of its parts, whose losses are sums."""
    losses, correct = zip(*sums, strict=True)
    return Score(torch.stack(losses).sum() / n, torch.stack(correct).sum())


class Forward(NamedTuple):
    """What the way back needs of the way there; y, z, 1 / sigma as in `fast/__init__.py`."""

    y: Float[Tensor, "batch inputs"]
    z: Float[Tensor, "batch d"]
    inverse_sigma: Float[Tensor, "batch 1"] | None
    inputs: Float[Tensor, "batch inputs"]
    hidden: Float[Tensor, "batch hidden"]
    answer: Answer


class Backward(NamedTuple):
    """What some rows add to the score and to the gradients of the factors that rows share."""

    score: Score
    d_readout: Float[Tensor, "vocab hidden"]
    d_bias: Float[Tensor, " inputs"] | None


class RowKernel:
    """Scores rows, and differentiates their mean loss with respect to the factors.

    Attributes:
        multiple: of how many columns sums are fastest.
    """

    multiple = 8

    def __init__(
        self,
        config: ModelConfig,
        vocab: int,
        normed: bool,
        loss_dtype: torch.dtype,
        chunk: int,
        crew: Crew,
        products: type[Products],
    ) -> None:
        self.products = products
        self.act, self.act_backward = ACTIVATIONS[config.activation]
        self.gated = config.mlp_type == "gated"
        self.normed, self.eps = normed, config.norm_eps
        self.loss_dtype, self.chunk, self.crew = loss_dtype, chunk, crew
        inputs = config.d_mlp * (2 if self.gated else 1)
        stream = config.d_model if normed else 0
        self.y = slice(0, inputs)
        self.z = slice(inputs, inputs + stream)
        self.logits = slice(inputs + stream, inputs + stream + vocab)
        self.columns = -(-self.logits.stop // self.multiple) * self.multiple

    def evaluate(self, factors: Factors, rows: RowLookups) -> Score:
        """Score of the rows."""

        def score(part: slice) -> Score:
            return self.forward(factors, rows, part).answer.score

        return mean_score(self.crew.map(score, rows.parts(self.chunk)), len(rows.labels))

    def differentiate(self, factors: Factors, rows: RowLookups) -> tuple[Score, Factors]:
        """Score of the rows, and the gradient of the mean loss (step 5)."""
        n = len(rows.labels)
        d_sums = factors.table.new_empty(n, self.columns)  # D
        d_sums[:, self.logits.stop :] = 0
        d_weight = torch.empty_like(factors.weight)

        def chunk(part: slice) -> Backward:
            backward = self.backward(factors, rows, part, d_sums[part])
            d_weight[part] = rows.terms.grad_of_weight(d_sums[part], factors.table, part)
            return backward

        def d_table(lines: slice) -> Tensor:
            return rows.terms.grad_of_table(d_sums, factors.weight, lines)

        scores, d_readouts, d_biases = zip(
            *self.crew.map(chunk, rows.parts(self.chunk)), strict=True
        )
        gradient = Factors(
            table=torch.cat(self.crew.map(d_table, rows.terms.lines(self.crew.threads))),
            weight=d_weight,
            readout=torch.stack(d_readouts).sum(0),
            bias=None if factors.bias is None else torch.stack(d_biases).sum(0),
        )
        return mean_score(scores, n), gradient

    def backward(
        self, factors: Factors, rows: RowLookups, part: slice, d_sums: Float[Tensor, "part column"]
    ) -> Backward:
        """These rows' share of the gradients; puts their D into `d_sums`."""
        forward = self.forward(factors, rows, part)
        d_y, d_z, d_logits = d_sums[:, self.y], d_sums[:, self.z], d_sums[:, self.logits]
        forward.answer.write_gradient(rows.labels[part], 1 / len(rows.labels), d_logits)
        d_readout = self.products.of(d_logits.T, forward.hidden.T)
        d_hidden = self.products.of(d_logits, factors.readout.T)
        self.write_activation_gradient(d_hidden, forward.inputs, d_y)
        if forward.inverse_sigma is None:
            return Backward(forward.answer.score, d_readout, None)
        d_bias = d_y.sum(0)
        slope = (d_y * forward.y).sum(1, keepdim=True) / -forward.z.shape[1]
        torch.mul(forward.z, slope * forward.inverse_sigma**3, out=d_z)
        d_y *= forward.inverse_sigma
        return Backward(forward.answer.score, d_readout, d_bias)

    def forward(self, factors: Factors, rows: RowLookups, part: slice) -> Forward:
        """These rows, up to the answer (steps 2 to 4)."""
        sums = rows.terms.sums(factors.table, factors.weight, part)
        y, z, logits = sums[:, self.y], sums[:, self.z], sums[:, self.logits]
        inputs, inverse_sigma = y, None
        if factors.bias is not None:
            inverse_sigma = (z.square().mean(1, keepdim=True) + self.eps).rsqrt()
            inputs = torch.addcmul(factors.bias, y, inverse_sigma)
        hidden = self.activate(inputs)
        self.products.add(logits, hidden, factors.readout)
        if rows.offset is not None:
            logits -= rows.offset[part]
        answer = Answer.of(logits, rows.labels[part], self.loss_dtype)
        return Forward(y, z, inverse_sigma, inputs, hidden, answer)

    def activate(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch hidden"]:
        """The MLP's activations."""
        if not self.gated:
            return self.act(inputs)
        gate, value = inputs.chunk(2, dim=1)
        return self.act(gate) * value

    def write_activation_gradient(
        self,
        d_hidden: Float[Tensor, "batch hidden"],
        inputs: Float[Tensor, "batch inputs"],
        out: Float[Tensor, "batch inputs"],
    ) -> None:
        """Put the gradient of the MLP's inputs, from that of its activations, into `out`."""
        if not self.gated:
            self.act_backward(d_hidden, inputs, out)
        else:
            gate, value = inputs.chunk(2, dim=1)
            d_gate, d_value = out.chunk(2, dim=1)
            torch.mul(d_hidden, self.act(gate), out=d_value)
            self.act_backward(d_hidden * value, gate, d_gate)

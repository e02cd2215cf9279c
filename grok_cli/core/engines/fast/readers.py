"""What reads the residual stream linearly, and by hand the gradients to its parameters.

The formulas and their numbers are those of `fast/__init__.py`, the manner is that of `by_hand.py`.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from grok_cli.core.engines.fast.feed import ByAutograd, Same
from grok_cli.core.engines.fast.products import Products
from grok_cli.core.engines.fast.rows import RowKernel
from grok_cli.core.model import MLP, Transformer


class Inputs:
    """The MLP's inputs: lines of B and c that are its weights and biases (step 3)."""

    def __init__(self, mlp: MLP) -> None:
        gate = [] if mlp.w_gate is None or mlp.b_gate is None else [(mlp.w_gate, mlp.b_gate)]
        self.layers, self.width = [(mlp.w_in, mlp.b_in), *gate], len(mlp.w_in)

    def forward(self, b: Float[Tensor, "column d"], c: Float[Tensor, " column"]) -> Tensor | None:
        """Writes its lines; the bias after a norm."""
        for part, w, bias in self.parts():
            b[part], c[part] = w, bias
        return None

    def backward(
        self,
        d_b: Float[Tensor, "column d"],
        d_c: Float[Tensor, " column"],
        d_bias: Float[Tensor, " inputs"] | None,
    ) -> None:
        """Sets the gradients of weights and biases."""
        for part, w, bias in self.parts():
            w.grad, bias.grad = d_b[part], d_c[part].clone()

    def parts(self) -> Iterator[tuple[slice, nn.Parameter, nn.Parameter]]:
        """The lines of each layer, its weights and biases."""
        for i, layer in enumerate(self.layers):
            yield slice(i * self.width, (i + 1) * self.width), *layer


class NormedInputs(Inputs):
    """The same with a norm before them, which has a bias if it centres (step 4)."""

    def __init__(self, mlp: MLP, gain: nn.Parameter, norm_bias: nn.Parameter | None) -> None:
        super().__init__(mlp)
        self.gain, self.norm_bias = gain, norm_bias
        self.bias = mlp.b_in.new_empty(len(self.layers) * self.width)

    def forward(self, b: Float[Tensor, "column d"], c: Float[Tensor, " column"]) -> Tensor | None:
        lines, (_, d) = len(self.bias), b.shape
        for part, w, bias in self.parts():
            torch.mul(w, self.gain, out=b[part])
            self.bias[part] = bias if self.norm_bias is None else w @ self.norm_bias + bias
        b[lines : lines + d] = torch.eye(d, dtype=b.dtype, device=b.device)
        self.centre(b[: lines + d])
        return self.bias

    def backward(
        self,
        d_b: Float[Tensor, "column d"],
        d_c: Float[Tensor, " column"],
        d_bias: Float[Tensor, " inputs"] | None,
    ) -> None:
        assert d_bias is not None
        self.centre(d_b[: len(self.bias)])  # as C is symmetric
        d_gain, d_norm_bias = torch.zeros_like(self.gain), torch.zeros_like(self.gain)
        for part, w, bias in self.parts():
            d_gain += (d_b[part] * w).sum(0)
            d_w = d_b[part] * self.gain
            if self.norm_bias is not None:
                d_w.addr_(d_bias[part], self.norm_bias)
                d_norm_bias += d_bias[part] @ w
            w.grad, bias.grad = d_w, d_bias[part].clone()
        self.gain.grad = d_gain
        if self.norm_bias is not None:
            self.norm_bias.grad = d_norm_bias

    def centre(self, lines: Float[Tensor, "line d"]) -> None:
        """Times C, in place."""
        if self.norm_bias is not None:
            lines -= lines.mean(1, keepdim=True)


class Readers:
    """What reads the residual stream linearly, and V (step 3).

    Attributes:
        b, c: B and c, whose lines are the table's columns.
        readout, bias: as in `Factors`.
    """

    def __init__(self, model: Transformer, kernel: RowKernel, products: type[Products]) -> None:
        self.model, self.products, self.logits = model, products, kernel.logits
        block = model.layers()[0]
        self.mlp = block.mlp
        self.inputs = Inputs(self.mlp)
        if kernel.normed:
            norm = block.norms["mlp_in"]
            self.inputs = NormedInputs(self.mlp, norm.gain, norm.bias)  # type: ignore[arg-type]
        unit = model.config.unembed_rows == "unit"
        self.rows_norm = ByAutograd(lambda rows: F.normalize(rows, dim=1)) if unit else Same()
        self.b = model.embed.new_zeros(kernel.columns, model.config.d_model)
        self.c = model.embed.new_zeros(kernel.columns)

    def forward(self) -> None:
        u, model = self.b[self.logits], self.model
        unembed = model.embed if model.unembed is None else model.unembed
        torch.mul(self.rows_norm.forward(unembed), model.config.output_scaling, out=u)
        self.c[self.logits] = u @ self.mlp.b_out
        self.readout = self.products.of(u, self.mlp.w_out.T)

        self.bias = self.inputs.forward(self.b, self.c)

    def backward(
        self,
        d_b: Float[Tensor, "column d"],
        d_c: Float[Tensor, " column"],
        d_readout: Float[Tensor, "vocab hidden"],
        d_bias: Float[Tensor, " inputs"] | None,
    ) -> None:
        """Sets the gradients of the MLP, its norm and the unembedding; adds to the embedding's."""
        self.inputs.backward(d_b, d_c, d_bias)

        u, d_u, d_c_u = self.b[self.logits], d_b[self.logits], d_c[self.logits]
        self.mlp.w_out.grad = self.products.of(u.T, d_readout.T)
        self.mlp.b_out.grad = d_c_u @ u
        d_u += self.products.of(d_readout, self.mlp.w_out)
        d_u.addr_(d_c_u, self.mlp.b_out)
        d_unembed = self.rows_norm.backward(d_u.mul_(self.model.config.output_scaling))
        if self.model.unembed is not None:
            self.model.unembed.grad = d_unembed
        elif self.model.embed.grad is not None:
            self.model.embed.grad += d_unembed

"""The factored form: one layer, no norm after attention, none after the MLP.

The formulas and their numbers are those of `fast/__init__.py`. The factors are small and are formed
once a step: here by ordinary operations, through which autograd takes gradients to the parameters,
or by hand (`by_hand.py`).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast.by_hand import FactorsByHand
from grok_cli.core.engines.fast.crew import Crew
from grok_cli.core.engines.fast.feed import backward_from
from grok_cli.core.engines.fast.products import products_of
from grok_cli.core.engines.fast.rows import Factors, RowKernel
from grok_cli.core.engines.fast.tables import RowLookups, TokenTables
from grok_cli.core.loss import RowLosses, row_losses
from grok_cli.core.model import Transformer


class FactoredForm:
    """Scores rows and, in `step`, leaves the gradient of the mean loss in the parameters."""

    n_queries = 1

    def __init__(
        self,
        model: Transformer,
        p: int,
        loss_dtype: torch.dtype,
        chunk: int,
        crew: Crew,
        kernels: str,
    ) -> None:
        products = products_of(kernels, model.embed.dtype, model.embed.device)
        self.kernel = row_kernel(kernels)(
            model.config,
            len(model.embed),
            "mlp" in model.layers()[0].sites,
            loss_dtype,
            chunk,
            crew,
            products,
        )
        self.factors: FactorsByAutograd | FactorsByHand
        if kernels == "torch":
            self.factors = FactorsByAutograd(model, p, self.kernel)
        else:
            self.factors = FactorsByHand(model, p, self.kernel, products)

    @staticmethod
    def fits(model: Transformer, losses: RowLosses) -> bool:
        """Whether this form computes the model's function, and the gradient of these losses: what
        it knows by hand are the cross-entropy, and a norm before the MLP that divides by sigma."""
        blocks = model.layers()
        sites = blocks[0].sites
        divides = model.config.norm in ("layernorm", "rmsnorm")
        return (
            losses is row_losses
            and len(blocks) == 1
            and model.final_norm is None
            and sites <= {"embed", "qk", "v", "q", "k", "mlp"}
            and (divides or "mlp" not in sites)
        )

    def step(self, rows: RowLookups) -> Score:
        """Score of the rows; leaves the gradient of the loss in every `.grad`."""
        score, gradient = self.kernel.differentiate(self.factors.forward(rows), rows)
        self.factors.backward(gradient)
        return score

    def evaluate(self, rows: RowLookups) -> Score:
        """Score of the rows; call it without gradients."""
        return self.kernel.evaluate(self.factors.forward(rows), rows)


class FactorsByAutograd:
    """Forms the factors, and has autograd take their gradients to the parameters."""

    def __init__(self, model: Transformer, p: int, kernel: RowKernel) -> None:
        self.model, self.p, self.kernel = model, p, kernel
        self.block = model.layers()[0]

    def forward(self, rows: RowLookups) -> Factors:
        """The factors of these rows (steps 1 to 4)."""
        block, tables = self.block, TokenTables.of(self.model, self.p)
        unembedding = self.model.config.output_scaling * self.model.unembedding
        readers, constants, bias = self.readers(unembedding)
        self.factors = Factors(
            table=tables.lines(readers @ block.attn.out, readers @ tables.x[-1] + constants),
            weight=tables.attention(rows, FactoredForm.n_queries),
            readout=unembedding @ block.mlp.w_out,
            bias=bias,
        )
        return self.factors.detached()

    def backward(self, gradient: Factors) -> None:
        """Adds to every `.grad`, from the gradients of the last factors that were formed."""
        backward_from(self.factors.tensors(), gradient.tensors())

    def readers(
        self, unembedding: Float[Tensor, "vocab d"]
    ) -> tuple[
        Float[Tensor, "column d"], Float[Tensor, " column"], Float[Tensor, " inputs"] | None
    ]:
        """B and c of step 3, and the bias W_in n + b_in of step 4 if there is a norm."""
        mlp = self.block.mlp
        w_in: Tensor = mlp.w_in
        b_in: Tensor = mlp.b_in
        if mlp.w_gate is not None and mlp.b_gate is not None:
            w_in, b_in = torch.cat((w_in, mlp.w_gate)), torch.cat((b_in, mlp.b_gate))
        if self.kernel.normed:
            into_mlp, bias = self.normed_readers(w_in, b_in)
            constants = torch.zeros_like(into_mlp[:, 0])
        else:
            into_mlp, bias, constants = w_in, None, b_in
        readers = torch.cat((into_mlp, unembedding))
        constants = torch.cat((constants, unembedding @ mlp.b_out))
        fill = self.kernel.columns - len(readers)
        return F.pad(readers, (0, 0, 0, fill)), F.pad(constants, (0, fill)), bias

    def normed_readers(
        self, w_in: Float[Tensor, "inputs d"], b_in: Float[Tensor, " inputs"]
    ) -> tuple[Float[Tensor, "inputs+d d"], Float[Tensor, " inputs"]]:
        """W_in diag(g) C and C, stacked, and the bias of step 4."""
        norm = self.block.norms["mlp_in"]
        gain: Tensor = norm.gain  # type: ignore[assignment]
        identity = torch.eye(w_in.shape[1], dtype=w_in.dtype, device=w_in.device)
        stacked = torch.cat((w_in * gain, identity))
        if norm.kind == "rmsnorm":
            return stacked, b_in
        bias: Tensor = norm.bias  # type: ignore[assignment]
        return stacked - stacked.mean(1, keepdim=True), w_in @ bias + b_in


def row_kernel(kernels: str) -> type[RowKernel]:
    """What computes the rows; numba is imported where it is used."""
    if kernels != "numba":
        return RowKernel
    from grok_cli.core.engines.fast.compiled import CompiledRowKernel

    return CompiledRowKernel

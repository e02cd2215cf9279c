"""The neural tangent kernel without a single per-row gradient.

For f(row) = c · logits(row), with a fixed vector c, K[i, j] is the inner product of the gradients
of f(i) and f(j) with respect to all parameters. The gradient of row i for a weight W of a step
y = W x is a sum of outer products, one a position t: δ_it x_it^T, with δ = ∂f/∂y. Hence

    K_W[i, j] = sum over t, s of (δ_it · δ_js) (x_it · x_js),

two Gram matrices multiplied elementwise. One backward pass gives every δ of every row, since rows
do not meet. The keys' and values' weights take fewer terms when summed over keys first: with g the
gradient of the scores, the gradient of W_k for head h is sum over queries r of
q_ihr (sum over keys p of g_ihrp x_ip)^T / sqrt(k); with w the attention weights, that of W_v is
sum over r of δ_ihr (sum over p of w_ihrp x_ip)^T. Heads own different rows of W, so that their
terms never meet. A vector parameter's gradient is a plain feature of the row, φ_i, with
K[i, j] = φ_i · φ_j; so is an outer product of which one factor is the same for all rows.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.model import Transformer
from grok_cli.core.norm import Norm
from grok_cli.core.positions import ANSWER_ONLY, last
from grok_cli.core.steps import Watched

BLOCK = 512  # rows of K computed at a time: keeps what is temporary small and in the cache


@dataclass(frozen=True)
class Outer:
    """Gradients of one weight matrix: the sum over terms t of left[:, t] ⊗ right[:, t]."""

    left: Float[Tensor, "batch term m"]
    right: Float[Tensor, "batch term n"]


class Site(NamedTuple):
    """A weight matrix in the forward pass: y = x W^T, or y = x W^T + b.

    Attributes:
        output, input: the names of the steps y and x.
        has_bias: whether there is a b.
    """

    output: str
    input: str
    has_bias: bool


def linear_sites(model: Transformer) -> list[Site]:
    """The weight matrices between the embedding and the unembedding, but for values, and for keys
    that are not normalised."""
    sites = []
    for i, block in enumerate(model.layers()):
        own = [(f"attn.norms.{name}.in", "attn_in_qk", False) for name in block.attn.norms]
        gate = [] if block.mlp.w_gate is None else [("mlp_gate", "mlp_in", True)]
        sites += [
            Site(f"blocks.{i}.{output}", f"blocks.{i}.{source}", has_bias)
            for output, source, has_bias in (
                *(own or [("q", "attn_in_qk", False)]),
                ("attn_linear", "z", False),
                ("mlp_pre", "mlp_in", True),
                *gate,
                ("mlp_linear", "mlp_post", True),
            )
        ]
    return sites


class Tape:
    """A forward pass whose steps' values are kept, for the backward pass.

    Attributes:
        out: the logits, without a subtracted initial model.
        linears: weight matrices.
        norms: name and module of each norm that has parameters, in the order of computation.
    """

    def __init__(self, model: Transformer, tokens: Int[Tensor, "batch 3"]) -> None:
        self.model, self.tokens = model, tokens
        steps = Watched(keep=None)
        with torch.enable_grad():
            self.x = model.embedded(tokens).detach().requires_grad_()
            self.out = model.logits_of(self.x, steps, ANSWER_ONLY)
        self.value = steps.kept
        self.linears = linear_sites(model)
        self.norms = {
            name.removesuffix(".out"): norm
            for name in steps.met
            if name.endswith(".out")
            and isinstance(norm := model.get_submodule(name.removesuffix(".out")), Norm)
            and norm.gain is not None
        }
        self.layers = [f"blocks.{i}" for i in range(len(model.blocks))]

    def gradients(self, c: Float[Tensor, " vocab"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the rows' c · logits: for the input, and for each step that has weights."""
        names = [
            *(site.output for site in self.linears),
            *(f"{name}.out" for name in self.norms),
            *(f"{layer}.{step}" for layer in self.layers for step in ("scores", "z")),
        ]
        outputs = [self.x, *(self.value[name] for name in names)]
        with torch.enable_grad():
            embedded, *deltas = torch.autograd.grad(
                (self.out @ c).sum(), outputs, retain_graph=True
            )
        return embedded, dict(zip(names, deltas, strict=True))


@dataclass(frozen=True)
class RowGradients:
    """The gradients of every row, for all parameters, as factors of outer products.

    Attributes:
        outers: one entry a weight matrix (a head's rows of it, for keys and values).
        features: gradients of vector parameters, and outer products with one constant factor.
        tokens: token rows.
        embedded: gradient of each row's f with respect to its three input vectors.
        cross: what a tied unembedding adds, (m, z): K += m z^T + z m^T; None if separate.
    """

    outers: list[Outer]
    features: list[Float[Tensor, "batch _"]]
    tokens: Int[Tensor, "batch 3"]
    embedded: Float[Tensor, "batch 3 d"]
    cross: tuple[Float[Tensor, "batch d"], Float[Tensor, "batch d"]] | None


def row_gradients(tape: Tape, c: Float[Tensor, " vocab"]) -> RowGradients:
    """Gradients of c · logits of each row. The model's own `.grad` stays untouched."""
    model, tokens, value = tape.model, tape.tokens, tape.value
    embedded, delta = tape.gradients(c)
    with torch.no_grad():
        outers: list[Outer] = []
        # The position embeddings, and the embedding of "=", which stands last in every row and so
        # has the same gradient as the last position's.
        features = [embedded[:, 0], embedded[:, 1], math.sqrt(2) * embedded[:, 2]]
        for site in tape.linears:
            left, inputs = _rows(delta[site.output]), _rows(value[site.input])
            inputs = last(inputs, left.shape[1])
            outers.append(Outer(left, _with_one(inputs) if site.has_bias else inputs))
        for name, norm in tape.norms.items():
            features += _norm_features(delta[f"{name}.out"], value[f"{name}.in"], norm)
        for layer, block in zip(tape.layers, model.layers(), strict=True):
            if block.attn.norms:  # the keys are one of the linear sites
                continue
            q, inputs = value[f"{layer}.q"], value[f"{layer}.attn_in_qk"]
            attended = delta[f"{layer}.scores"] @ inputs[:, None] / math.sqrt(q.shape[-1])
            outers += [Outer(q[:, h], attended[:, h]) for h in range(q.shape[1])]
        for layer in tape.layers:
            out, weights = delta[f"{layer}.z"], value[f"{layer}.pattern"]
            attended = weights @ value[f"{layer}.attn_in_v"][:, None]
            outers += [Outer(out[:, h], attended[:, h]) for h in range(out.shape[1])]

        if model.config.scale_as == "logits":
            c = c * model.config.output_scaling
        features.append(value["final"] @ _unembedding_root(model, c))
        cross = None
        if model.unembed is None:
            cross = (torch.einsum("ip,ipd->id", c[tokens], embedded), value["final"].detach())
        return RowGradients(
            [o for outer in outers if (o := _as_feature(outer, features)) is not None],
            features,
            tokens,
            embedded,
            cross,
        )


def _unembedding_root(model: Transformer, c: Float[Tensor, " vocab"]) -> Float[Tensor, "d d"]:
    """R such that the unembedding's part of K is (z_i R) · (z_j R).

    The gradient of c · U z is c ⊗ z: R = |c| I. Where the rows u_v are scaled to norm 1, that of
    row v is c_v (I - û û^T) z / |u_v|, and R R^T is the sum of their squares over v.
    """
    identity = torch.eye(model.config.d_model, dtype=c.dtype, device=c.device)
    if model.unembed is None or model.config.unembed_rows == "free":
        plain: Tensor = c.norm() * identity
        return plain
    lengths = model.unembed.norm(dim=1)
    scaled = (c / lengths)[:, None] * model.unembedding
    values, vectors = torch.linalg.eigh((c / lengths).square().sum() * identity - scaled.T @ scaled)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


def _rows(x: Tensor) -> Float[Tensor, "batch term n"]:
    """The vectors of each row; those of all heads, if apart, one after the other."""
    return x if x.ndim == 3 else x.transpose(1, 2).flatten(2)


def _with_one(x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
    """x and a last entry 1, whose weight is the bias."""
    return F.pad(x, (0, 1), value=1.0)


def _norm_features(
    delta: Float[Tensor, "*batch d"], x: Float[Tensor, "*batch d"], norm: Norm
) -> list[Float[Tensor, "batch _"]]:
    """Gradients of gain, bias and, of a DyT, alpha, summed over positions (and heads)."""
    extra = []
    if norm.alpha is not None and norm.gain is not None:
        unit = torch.tanh(norm.alpha * x)
        extra = [(delta * norm.gain * (1 - unit.square()) * x).sum(-1, keepdim=True)]
    elif norm.kind == "rmsnorm":
        unit = F.rms_norm(x, norm.shape, None, norm.eps)
    else:
        unit = F.layer_norm(x, norm.shape, None, None, norm.eps)
    per_position = [delta * unit, *([] if norm.bias is None else [delta]), *extra]
    return [v.flatten(1, -2).sum(dim=1) if v.ndim > 2 else v for v in per_position]


def _as_feature(outer: Outer, features: list[Float[Tensor, "batch _"]]) -> Outer | None:
    """Move an outer product with a factor that all rows share to the features; else return it."""
    if outer.left.shape[1] > 1:
        return outer
    for shared, other in ((outer.left, outer.right), (outer.right, outer.left)):
        if torch.equal(shared, shared[:1].expand_as(shared)):
            features.append(other[:, 0] * shared[0].norm())
            return None
    return outer


@torch.no_grad()
def gram(gradients: RowGradients) -> Float[Tensor, "batch batch"]:
    """The kernel matrix K of these gradients."""
    z = gradients.features[0]
    n = len(z)
    kernel = z.new_empty(n, n)
    features = torch.cat(gradients.features, dim=1)
    for start in range(0, n, BLOCK):
        # Rows of the block against all rows from its start on; below lies the mirror image.
        rows, rest = slice(start, start + BLOCK), slice(start, None)
        part = features[rows] @ features[rest].T
        for outer in gradients.outers:
            for t in range(outer.left.shape[1]):
                for s in range(outer.left.shape[1]):
                    part.addcmul_(
                        outer.left[rows, t] @ outer.left[rest, s].T,
                        outer.right[rows, t] @ outer.right[rest, s].T,
                    )
        if gradients.cross is not None:
            m, z = gradients.cross
            part += m[rows] @ z[rest].T + z[rows] @ m[rest].T
        kernel[rows, rest] = part
        kernel[rest, rows] = part.T
    _add_embedding(kernel, gradients.tokens, gradients.embedded)
    return kernel


def _add_embedding(
    kernel: Float[Tensor, "batch batch"],
    tokens: Int[Tensor, "batch 3"],
    embedded: Float[Tensor, "batch 3 d"],
) -> None:
    """Add the part of the embeddings of a and b: rows meet where they hold the same token.

    Gradients are laid out by token, padded with zeros to the most frequent one's number, so that
    one batched product gives all meetings.
    """
    n, token = len(tokens), tokens[:, :2].reshape(-1)
    order = token.argsort(stable=True)
    counts = token.bincount()
    slot = torch.arange(2 * n, device=token.device) - (counts.cumsum(0) - counts)[token[order]]
    most, place = int(counts.max()), (token[order], slot)
    gradient = embedded.new_zeros(len(counts), most, embedded.shape[2])
    gradient[place] = embedded[:, :2].reshape(2 * n, -1)[order]
    row = token.new_zeros(len(counts), most)
    row[place] = order // 2
    cells = row[:, :, None] * n + row[:, None, :]
    kernel.view(-1).index_add_(0, cells.view(-1), (gradient @ gradient.mT).view(-1))


def kernel_of_sum(
    model: Transformer, tokens: Int[Tensor, "batch 3"]
) -> Float[Tensor, "batch batch"]:
    """K for f = the sum of all logits.

    Source: code of arXiv 2602.06702. The same as the Gram matrix of per-row gradients.
    """
    ones = model.embed.new_ones(len(model.embed))
    return gram(row_gradients(Tape(model, tokens), ones))


def kernel_of_all(
    model: Transformer, tokens: Int[Tensor, "batch 3"]
) -> Float[Tensor, "batch batch"]:
    """The sum over classes of K for f = that class's logit: the trace of the full kernel.

    One backward pass a class; meant for a few hundred rows.
    Source: Jacot et al. 2018, as averaged over outputs in the code of arXiv 2602.06702.
    """
    classes = torch.eye(len(model.embed), dtype=model.embed.dtype, device=model.embed.device)
    total = model.embed.new_zeros(len(tokens), len(tokens))
    tape = Tape(model, tokens)
    for c in classes:
        total += gram(row_gradients(tape, c))
    return total


def relative_distance(
    now: Float[Tensor, "batch batch"], then: Float[Tensor, "batch batch"]
) -> float:
    """||now - then||_F / ||then||_F, summed in float64."""
    moved = size = 0.0
    for start in range(0, len(then), BLOCK):
        rows = slice(start, start + BLOCK)
        moved += float((now[rows] - then[rows]).square().sum(dtype=torch.float64))
        size += float(then[rows].square().sum(dtype=torch.float64))
    return math.sqrt(moved / size)

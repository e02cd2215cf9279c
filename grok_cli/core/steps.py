"""The named steps of the forward pass, which can be read and replaced.

The model hands each step's value, with its name, to a `Steps`, and goes on with what it gets back.
Shapes are written as everywhere in the core; names follow TransformerLens, without its "hook_".
Of layer i, under "blocks.i.":

    resid_pre      batch pos d           the residual stream before the block
    attn_in_qk     batch pos d           what queries and keys are made from, after a norm there
    attn_in_v      batch pos d           what values are made from, after a norm there
    q, k, v        batch head pos k      queries, keys and values, after a norm there
    scores         batch head query key  q · k / sqrt(width of a head)
    pattern        batch head query key  attention weights, the softmax of scores over keys
    z              batch head query k    each head's mean of v, weighted by attention
    attn_linear    batch pos d           z of all heads through the output matrix
    attn_out       batch pos d           what attention adds to the stream, after a norm there
    resid_mid      batch pos d           the stream between attention and MLP, after a norm there
    mlp_in         batch pos d           what the MLP reads, after a norm there
    mlp_pre        batch pos hidden      W_in mlp_in + b_in, before the activation
    mlp_gate       batch pos hidden      W_gate mlp_in + b_gate, of a gated MLP only
    mlp_post       batch pos hidden      activation of mlp_pre, times mlp_gate if gated
    mlp_linear     batch pos d           W_out mlp_post + b_out
    mlp_out        batch pos d           what the MLP adds to the stream, after a norm there
    resid_post     batch pos d           the residual stream after the block, after a norm there
    norms.N.in     batch pos d           what the norm N of this block reads (N as in `placement`)
    norms.N.out    batch pos d           what it gives
    attn.norms.N.in  batch head pos k    what the norm of queries or keys reads (N is q or k)
    attn.norms.N.out batch head pos k    what it gives

and once:

    embed_norm.in  batch pos d           embedding plus position, where there is a norm of these
    embed_norm.out batch pos d           what it gives
    final_norm.in  batch d               the last position's stream, where there is a final norm
    final_norm.out batch d               what the final norm gives
    final          batch d               what the unembedding reads; Z in the diagnostics' formulas
    logits         batch vocab           the output, scaled, an initial model subtracted
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grok_cli.errors import UsageError, did_you_mean

Replacement = Callable[[Tensor], Tensor]


class Steps:
    """Hears of every step. This one hands all values on as they are."""

    def __call__(self, name: str, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What the model goes on with after the step of that name."""
        return value

    def within(self, part: str) -> "Steps":
        """The steps of a part of the model, whose names begin with its name and a dot."""
        return self


UNWATCHED = Steps()


class _Within(Steps):
    def __init__(self, steps: Steps, part: str) -> None:
        self.steps, self.part = steps, part

    def __call__(self, name: str, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.steps(f"{self.part}.{name}", value)

    def within(self, part: str) -> Steps:
        return _Within(self.steps, f"{self.part}.{part}")


class Watched(Steps):
    """Steps that are kept, or replaced by functions of their value.

    Attributes:
        kept: the values so far, by name in the order of computation, after replacement.
        met: names of all steps so far.
    """

    def __init__(
        self, keep: Collection[str] | None = (), replace: Mapping[str, Replacement] | None = None
    ) -> None:
        """`keep` is the names whose values are kept, None for all."""
        self.keep, self.replace = keep, replace or {}
        self.kept: dict[str, Tensor] = {}
        self.met: list[str] = []

    def __call__(self, name: str, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        self.met.append(name)
        if name in self.replace:
            value = self._replaced(name, value)
        if self.keep is None or name in self.keep:
            self.kept[name] = value
        return value

    def within(self, part: str) -> Steps:
        return _Within(self, part)

    def check(self) -> None:
        """After a forward pass: refuse names that it did not meet.

        Raises:
            UsageError: the message names the unknown step and the nearest.
        """
        for name in (*self.replace, *(self.keep or ())):
            if name not in self.met:
                hint = f"{did_you_mean(name, self.met)} expected one of {', '.join(self.met)}"
                raise UsageError(f"the model has no step '{name}'; {hint.strip()}")

    def _replaced(self, name: str, value: Tensor) -> Tensor:
        new = self.replace[name](value)
        if not isinstance(new, Tensor):
            raise UsageError(
                f"what replaces step '{name}' returned {new!r:.60}; expected a tensor of shape "
                f"{tuple(value.shape)}"
            )
        if new.shape != value.shape:
            raise UsageError(
                f"what replaces step '{name}' has shape {tuple(new.shape)}; "
                f"expected {tuple(value.shape)}"
            )
        return new


class WithSteps(nn.Module):
    """A model whose forward takes tokens and a `Steps`."""

    @torch.no_grad()
    def run_with_cache(
        self, tokens: Int[Tensor, "batch 3"], names: str | Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """The values of a step, of several or of all (None) in a forward pass, without gradients.

        Names and shapes are those at the top of this file, e.g. "blocks.0.pattern"
        [batch head query key].

        Raises:
            UsageError: the model has no step of that name.

        Examples:
            >>> cache = run.model().run_with_cache(run.dataset.tokens, ["blocks.0.pattern"])
            >>> {name: list(value.shape) for name, value in cache.items()}
            {'blocks.0.pattern': [169, 2, 3, 3]}
        """
        steps = Watched([names] if isinstance(names, str) else names)
        self(tokens, steps)
        steps.check()
        return steps.kept

    def run_with_hooks(
        self,
        tokens: Int[Tensor, "batch 3"],
        hooks: Mapping[str, Replacement] | Iterable[tuple[str, Replacement]],
    ) -> Float[Tensor, "batch vocab"]:
        """The logits where each named step's value is replaced by its function of that value.

        Hooks are {name: function}, or pairs (name, function), of which the last of a name counts.

        A function gets a tensor of the shape at the top of this file and returns one of the same
        shape; it must not change the tensor itself. Gradients flow through.

        Raises:
            UsageError: the model has no step of that name, or the shape is another.

        Examples:
            The MLP taken out, for the first two pairs:

            >>> without = {"blocks.0.mlp_out": lambda value: 0 * value}
            >>> run.model().run_with_hooks(run.dataset.tokens[:2], without).shape
            torch.Size([2, 14])
        """
        steps = Watched(replace=dict(hooks))
        logits: Tensor = self(tokens, steps)
        steps.check()
        return logits

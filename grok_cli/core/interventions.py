"""What is done to a state where a branch leaves its parent, as data: a table from a name to a pure
function of the state. `grok docs branches` has the formulas.

The state is first made one of the branch's own settings (`adapted`); then the interventions follow
in the order of the table, each where its setting is not the default.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.branch import BranchConfig
from grok_cli.core.norm import ALPHA
from grok_cli.errors import UsageError, did_you_mean

Weights = dict[str, Tensor]

# Parts of the network, each the patterns of its parameters' names.
PARTS = {
    "embedding": ("embed",),
    "positions": ("pos",),
    "attention": ("blocks.*.attn.*",),
    "mlp": ("blocks.*.mlp.*",),
    "norms": ("*norm*",),
    "unembedding": ("unembed",),
}

NEW_NORM = {"gain": 1.0, "alpha": ALPHA}  # all else is 0


@dataclass(frozen=True)
class State:
    """Weights and optimiser at a step.

    Attributes:
        weights: by name, of the parameters and of a subtracted initial model ("initial.").
        moments: of each kind that the optimiser keeps (m, v, t), those of the parameters by name;
            by number where there is not one for each of them.
    """

    weights: Weights
    moments: dict[str, Weights]


@dataclass(frozen=True)
class Given:
    """What interventions need besides the state.

    Attributes:
        p: number of elements; the first p rows of embedding and unembedding are theirs.
        donor: the weights that `transplant` takes from.
        frequencies: those that `frequencies` is about, 1 to p // 2.
    """

    p: int
    donor: Weights | None = None
    frequencies: Sequence[int] = ()


Intervention = Callable[[State, BranchConfig, Given], State]


def transplanted(state: State, branch: BranchConfig, given: Given) -> State:
    """W <- the donor's W, of the parameters that `transplant` names."""
    assert given.donor is not None
    taken: Weights = {}
    for name in parameters_named(branch.transplant, state.weights, "branch.transplant"):
        mine, theirs = state.weights[name], given.donor.get(name)
        if theirs is None or theirs.shape != mine.shape:
            found = "has none" if theirs is None else f"its shape there is {tuple(theirs.shape)}"
            raise UsageError(
                f"branch.transplant: {name} has the shape {tuple(mine.shape)}, and the donor "
                f"{found}; expected a donor with the same"
            )
        taken[name] = theirs.to(mine)
    return replace(state, weights=state.weights | taken)


def filtered(state: State, branch: BranchConfig, given: Given) -> State:
    """W <- mean of W over residues + its waves of the frequencies that stay, of embedding and
    unembedding; the rows of other tokens ("=") stay."""
    changed: Weights = {}
    for name in ("embed", "unembed"):
        if name in state.weights:
            weight = state.weights[name]
            table = weight[: given.p].double()
            part = only(table, torch.tensor(given.frequencies))
            kept = part + table.mean(0) if branch.frequencies == "only" else table - part
            changed[name] = torch.cat((kept.to(weight), weight[given.p :]))
    return replace(state, weights=state.weights | changed)


def scaled(state: State, branch: BranchConfig, given: Given) -> State:
    """W <- scale W, of the parameters that `parameters` names."""
    names = parameters_named(branch.parameters, state.weights, "branch.parameters")
    return replace(
        state, weights=state.weights | {n: branch.scale * state.weights[n] for n in names}
    )


def perturbed(state: State, branch: BranchConfig, given: Given) -> State:
    """With a standard normal G of W's shape, size s and g its first entry:

    W <- W + s |W| G / |G|, then scaled back to |W| where the norm is kept;
    W <- (1 + s g) W where the direction is kept.
    """
    generator = torch.Generator().manual_seed(branch.perturb_seed)
    changed: Weights = {}
    for name in parameters_named(branch.parameters, state.weights, "branch.parameters"):
        weight = state.weights[name]
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        exact = weight.cpu().double()
        if branch.perturb_keeps == "direction":
            new = exact * (1 + branch.perturb * noise.flatten()[0])
        else:
            new = exact + branch.perturb * exact.norm() * noise / noise.norm()
            if branch.perturb_keeps == "norm" and exact.any():
                new = new * (exact.norm() / new.norm())
        changed[name] = new.to(weight)
    return replace(state, weights=state.weights | changed)


def forgotten(state: State, branch: BranchConfig, given: Given) -> State:
    """All moments and step counts of the optimiser <- 0."""
    zeros = {
        kind: {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        for kind, tensors in state.moments.items()
    }
    return replace(state, moments=zeros)


INTERVENTIONS: dict[str, Intervention] = {  # by setting of `branch`, in the order of application
    "transplant": transplanted,
    "frequencies": filtered,
    "scale": scaled,
    "perturb": perturbed,
    "reset_moments": forgotten,
}


def intervene(state: State, branch: BranchConfig, given: Given) -> State:
    """The state after all interventions of a branch. Tensors of `state` stay as they are.

    Raises:
        UsageError: the parameters do not allow it.
    """
    plain = BranchConfig()
    for name, intervention in INTERVENTIONS.items():
        if getattr(branch, name) != getattr(plain, name):
            state = intervention(state, branch, given)
    return state


def adapted(state: State, fresh: State) -> State:
    """A state of the parent as one of the branch, whose `fresh` state says shapes and types.

    A norm that the branch does not have is left out; one that is new has gain 1, bias 0 (of a DyT
    also its first alpha) and no moments. Numbers are rounded to the branch's type.

    Raises:
        UsageError: other parameters are new, gone, or of another shape.
    """
    for name in sorted(state.weights.keys() | fresh.weights.keys()):
        mine, theirs = fresh.weights.get(name), state.weights.get(name)
        fits = mine is not None and theirs is not None and mine.shape == theirs.shape
        if not fits and "norm" not in name:
            was, now = ("none" if w is None else tuple(w.shape) for w in (theirs, mine))
            raise UsageError(
                f"the weights do not allow this change: {name} has the shape {was} in the parent, "
                f"and with these settings {now}; expected settings that leave all parameters but "
                "those of norms as they are"
            )
    norms = {
        name: torch.full_like(tensor, NEW_NORM.get(name.rpartition(".")[2], 0.0))
        for name, tensor in fresh.weights.items()
        if "norm" in name
    }
    moments = {
        kind: _over(state.moments.get(kind, {}), tensors) for kind, tensors in fresh.moments.items()
    }
    return State(_over(state.weights, fresh.weights | norms), moments)


def _over(found: Weights, fresh: Weights) -> Weights:
    """The tensors found, of the types of the fresh ones, which stand where none was found; all of
    them where numbers do not say any more which is which."""
    same = {name for name in fresh if name in found and found[name].shape == fresh[name].shape}
    if any(name.isdecimal() for name in fresh) and not same == fresh.keys() == found.keys():
        same = set()
    return {name: found[name].to(new) if name in same else new for name, new in fresh.items()}


# What other optimisers call the moments of AdamW, which can be gone on with.
ALIKE = {"exp_avg": "m", "exp_avg_sq": "v", "step": "t"}


def moments_of(state: Mapping[str, Any], names: Sequence[str]) -> dict[str, Weights]:
    """An optimiser's state by kind and name; `names` are those of its parameters, in order.

    Kinds of an optimiser in another ("muon") are joined by a slash; one behind a filter of the
    gradients ("update") counts as it stands without.
    """
    found: dict[str, Weights] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            below = moments_of(value, names)
            place = "" if key == "update" else f"{key}/"
            found |= {f"{place}{kind}": tensors for kind, tensors in below.items()}
        else:
            keys = names if len(value) == len(names) else [str(i) for i in range(len(value))]
            found[ALIKE.get(key, key)] = dict(zip(keys, value, strict=True))
    return found


def optimizer_state(like: Mapping[str, Any], moments: Mapping[str, Weights]) -> dict[str, Any]:
    """The state of an optimiser with these moments; `like` is one of the same form."""
    return {
        key: optimizer_state(
            value,
            moments
            if key == "update"
            else {
                kind.removeprefix(f"{key}/"): tensors
                for kind, tensors in moments.items()
                if kind.startswith(f"{key}/")
            },
        )
        if isinstance(value, Mapping)
        else list(moments[ALIKE.get(key, key)].values())
        for key, value in like.items()
    }


def parameters_named(patterns: Iterable[str], names: Iterable[str], setting: str) -> list[str]:
    """The parameters that parts ("embedding"), names and patterns ("blocks.*.mlp.*") mean, in
    order; those of a subtracted initial model are not among them.

    Raises:
        UsageError: one of them means none.
    """
    known = [name for name in names if not name.startswith("initial.")]
    found: set[str] = set()
    for text in patterns:
        fits = {
            name
            for pattern in PARTS.get(text, (text,))
            for name in known
            if fnmatchcase(name, pattern)
        }
        if not fits:
            hint = did_you_mean(text, [*PARTS, *known])
            raise UsageError(
                f"{setting}: the network has no {text}; {hint or 'expected'} one of "
                f"{', '.join([*PARTS, *known])}"
            )
        found |= fits
    return [name for name in known if name in found]


def only(table: Float[Tensor, "p n"], frequencies: Tensor) -> Float[Tensor, "p n"]:
    """The part of a table over the residues (rows) that is made of waves of these frequencies."""
    spectrum = torch.fft.rfft(table.double(), dim=0)
    kept = torch.zeros_like(spectrum)
    kept[frequencies] = spectrum[frequencies]
    part: Tensor = torch.fft.irfft(kept, n=len(table), dim=0)
    return part

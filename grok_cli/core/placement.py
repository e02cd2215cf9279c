"""Where norms stand: a table from placement name to the set of sites with a norm.

A block computes, for the residual stream x,

    x = attn_sum( x + attn_out( Attention(qk(x), v(x)) ) )
    x = mlp_sum ( x + mlp_out ( MLP(mlp(x)) ) )

where each of the seven names is either a norm or the identity. `qk` and `v` share one norm, the
one "before attention". The paper (arXiv 2602.06702) studies the norms on the inputs qk, v and mlp.
Three sites are elsewhere: `embed` is the stream before the first block, `q` and `k` are each head's
queries and keys, after their projection.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """One way to place norms in a block.

    Attributes:
        name: the value of `model.ln_type`.
        paper: the name in arXiv 2602.06702 ("M" is the MLP, "A" attention, "*" all its inputs), or
            in the paper that it comes from (`grok docs biases`).
        sites: the sites of a block that hold a norm.
    """

    name: str
    paper: str
    sites: frozenset[str]


def _placement(name: str, paper: str, *sites: str) -> Placement:
    return Placement(name, paper, frozenset(sites))


PLACEMENTS = {
    placement.name: placement
    for placement in (
        _placement("off", "No LN"),
        _placement("attn-pre-qk", "A^qk", "qk"),
        _placement("attn-pre-v", "A^v", "v"),
        _placement("attn-pre", "A*", "qk", "v"),
        _placement("mlp-pre", "M", "mlp"),
        _placement("pre-qk", "M+A^qk", "qk", "mlp"),
        _placement("pre-v", "M+A^v", "v", "mlp"),
        _placement("pre", "M+A*", "qk", "v", "mlp"),
        _placement("post", "Post-LN", "attn_sum", "mlp_sum"),
        _placement("peri", "Peri-LN", "qk", "v", "attn_out", "mlp", "mlp_out"),
        _placement("qk-norm", "QK-Norm", "q", "k"),
        _placement("sphere", "Sphere", "embed", "attn_sum", "mlp_sum"),
    )
}

# Which norm serves a site; a model holds exactly those that its placement uses.
NORM_OF_SITE = {
    "embed": "embed_norm",
    "qk": "attn_in",
    "v": "attn_in",
    "q": "q",
    "k": "k",
    "attn_out": "attn_out",
    "attn_sum": "attn_sum",
    "mlp": "mlp_in",
    "mlp_out": "mlp_out",
    "mlp_sum": "mlp_sum",
}

HEAD_SITES = ("q", "k")  # within attention, of one head's width
BLOCK_SITES = NORM_OF_SITE.keys() - {*HEAD_SITES, "embed"}


def _plain(name: str) -> str:
    """Spelling that makes 'M + A_qk', 'm+a^qk' and 'M+A^qk' equal."""
    return name.lower().replace(" ", "").replace("_", "-").replace("^", "")


_BY_SPELLING = {
    _plain(spelling): placement.name
    for placement in PLACEMENTS.values()
    for spelling in (placement.name, placement.paper)
}
_BY_SPELLING |= {"a": "attn-pre", "m+a": "pre", "none": "off"}
_BY_SPELLING |= {"sandwich": "peri", "sandwich-ln": "peri"}  # arXiv 2105.13290: the same block


def canonical_name(name: str) -> str:
    """The value of `model.ln_type` for a placement's name or the paper's name for it.

    Raises:
        ValueError: no placement has that name.
    """
    try:
        return _BY_SPELLING[_plain(name)]
    except KeyError:
        raise ValueError(f"expected one of {', '.join(PLACEMENTS)}") from None

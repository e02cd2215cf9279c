"""Columns that once had another name, so that old files go on being read."""

# The published columns attn_out_eff_rank and min_eigenval are other quantities.
FORMER = {
    ("attention", "attn_out_eff_rank"): "answer_out_effective_rank",
    ("hessian", "min_eigenval"): "smallest_eigenval",
}


def present_column(name: str) -> str:
    """What the column of that name is called today."""
    *parts, metric = name.split("/")
    if parts and (parts[0], metric) in FORMER:
        return "/".join([*parts, FORMER[parts[0], metric]])
    return name

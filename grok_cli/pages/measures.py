"""The page of all diagnostics, from their registry."""

from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.registry import DIAGNOSTICS, Diagnostic
from grok_cli.pages.markdown import escaped, page, table

TITLE = "Every measure"
INTRODUCTION = """\
Diagnostics of a network, with what they compute and where it is from. They are measured while
training (`grok train -m rank:200`), afterwards from snapshots (`grok measure RUN -m rank`) and from
Python (`run.measure("rank")`): `grok docs diagnostics`.

The cost is that of one network of the published size on two cores: *cheap* is below 0.1 s,
*moderate* below 1 s, *expensive* above that, or grows steeply with the size. The columns are those
of a network of one layer.
"""


def every() -> str:
    """The page."""
    known = [DIAGNOSTICS[name] for name in DIAGNOSTICS]
    rows = [
        [f"[`{one.name}`](#{one.name})", one.cost, escaped(_short(one.formula))] for one in known
    ]
    overview = table(["diagnostic", "cost", "what it computes"], rows)
    return page(TITLE, INTRODUCTION, overview, *map(_section, known))


def _section(one: Diagnostic) -> str:
    columns = ", ".join(f"`{column}`" for column in one.columns(ModelConfig()))
    return (
        f"## {one.name}\n\n{_sentence(one.formula)}\n\n"
        f"- **Cost**: {one.cost}\n- **Source**: {escaped(one.source)}\n- **Columns**: {columns}\n"
    )


def _sentence(formula: str) -> str:
    text = escaped(formula)
    if text.split()[0].isalpha():  # no name of a column
        text = text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _short(formula: str, most: int = 90) -> str:
    """The beginning of a formula, to its end or to the first pause that leaves it short enough."""
    for pause in ("; ", ": ", ", ", " "):
        if len(formula) > most and pause in formula[:most]:
            return formula[: formula.rindex(pause, 0, most)] + " …"
    return formula

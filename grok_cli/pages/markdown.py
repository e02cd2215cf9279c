"""Small pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """Plain text as Markdown shows it."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", re.sub(r"([\\`*_\[\]|])", r"\\\1", text))


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def page(title: str, *parts: str) -> str:
    """A title, and what stands below it."""
    return "\n\n".join([f"# {title}", *(part.strip() for part in parts if part)]) + "\n"

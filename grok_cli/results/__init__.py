"""Many runs as one table, wherever they come from. Nothing here imports torch."""

from grok_cli.results.group import Group
from grok_cli.results.run import Run
from grok_cli.results.table import Results

__all__ = ["Group", "Results", "Run"]

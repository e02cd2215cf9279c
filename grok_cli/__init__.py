"""Train small transformers until they grok, and measure how.

    import grok_cli as grok

    run = grok.train(ln_type="mlp-pre", seed=456, steps=1500)
    run.metrics()

Each name is imported when it is first used. `grok docs python` is a tour of ten minutes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grok_cli.version import __version__ as __version__

if TYPE_CHECKING:
    from grok_cli.core.config import Config
    from grok_cli.errors import GrokError
    from grok_cli.library.plotting import plot
    from grok_cli.library.runs import Run, Runs, load
    from grok_cli.library.sweeping import sweep
    from grok_cli.library.training import train
    from grok_cli.runs.checkpoints import Snapshot

__all__ = [
    "Config",
    "GrokError",
    "Run",
    "Runs",
    "Snapshot",
    "load",
    "plot",
    "sweep",
    "train",
]
_HOMES = {
    "Config": "core.config",
    "GrokError": "errors",
    "Run": "library.runs",
    "Runs": "library.runs",
    "Snapshot": "runs.checkpoints",
    "load": "library.runs",
    "plot": "library.plotting",
    "sweep": "library.sweeping",
    "train": "library.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

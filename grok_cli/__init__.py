"""Train small transformers until they grok, and measure how.

Each name is imported when it is first used. `grok docs python` is a tour of ten minutes.

Examples:
    A run: `small` makes it one of seconds; without it, it is one of the paper's.

    >>> import grok_cli as grok
    >>> small = {"data.modulus": 13, "model.d_model": 16, "run.threads": 1}
    >>> run = grok.train(small, ln_type="mlp-pre", seed=456, steps=60)
    >>> run.config.model.ln_type, run.summary["status"], run.phases["generalised_at"]
    ('mlp-pre', 'finished', None)
    >>> run.metrics().columns[:2]  # a frame of polars; .to_pandas() makes one of pandas'
    ['step', 'train/loss']
    >>> run.measure(["rank", "progress"])["step"].to_list()  # in run.metrics() from now on
    [0, 1, 10, 50, 60]

    Its network, at a step of which there are weights, as a module of torch, and every step of its
    forward pass:

    >>> model = run.model(step=50)
    >>> model(run.dataset.tokens).shape  # [batch vocab]
    torch.Size([169, 14])
    >>> run.cache(step=50, rows="all")["blocks.0.pattern"].shape  # [batch head query key]
    torch.Size([169, 4, 3, 3])

    Many runs: a study, a sweep file, or a grid such as {"model.ln_type": ["off", "pre"]}.

    >>> sweep = grok.sweep("ln-positions", seeds=1, steps=20, jobs=2, settings=small)
    >>> sweep.results().columns
    ['group', 'run', 'seed', 'step', 'metric', 'value']
    >>> figure = grok.plot(sweep, "accuracy")  # of matplotlib; a notebook shows it

    Later, from the disk: a run, a snapshot, or all runs of a directory or a glob.

    >>> grok.load(run.path) == run, len(grok.load("runs/ln-positions"))
    (True, 4)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grok_cli.version import __version__ as __version__

if TYPE_CHECKING:
    from grok_cli.core.config import Config
    from grok_cli.errors import GrokError, GrokWarning, UsageError
    from grok_cli.library.plotting import plot
    from grok_cli.library.run import Run
    from grok_cli.library.runs import Runs, load
    from grok_cli.library.sweeping import sweep
    from grok_cli.library.training import train
    from grok_cli.runs.checkpoints import Snapshot

__all__ = [
    "Config",
    "GrokError",
    "GrokWarning",
    "Run",
    "Runs",
    "Snapshot",
    "UsageError",
    "load",
    "plot",
    "sweep",
    "train",
]
_HOMES = {
    "Config": "core.config",
    "GrokError": "errors",
    "GrokWarning": "errors",
    "Run": "library.run",
    "Runs": "library.runs",
    "Snapshot": "runs.checkpoints",
    "UsageError": "errors",
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

"""Which engine a run gets."""

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines.engine import Engine
from grok_cli.core.engines.fast.engine import FastEngine
from grok_cli.core.engines.plain import PlainEngine
from grok_cli.core.model import Transformer


def make_engine(config: Config, model: Transformer, dataset: Dataset) -> Engine:
    """The engine that `run.engine` asks for; auto is fast, which trains every model."""
    engine = PlainEngine if config.run.engine == "plain" else FastEngine
    return engine(config, model, dataset)

"""What computes losses and gradients: the plain engine, to be read, and the fast one, to be used.

engine.py   the interface, and the score that an engine gives
plain.py    the readable model and autograd
fast/       the same numbers for less work; its first page derives how
make.py     which one a run gets
"""

from grok_cli.core.engines.engine import Engine, Score
from grok_cli.core.engines.fast.engine import FastEngine
from grok_cli.core.engines.make import make_engine
from grok_cli.core.engines.plain import PlainEngine

__all__ = ["Engine", "FastEngine", "PlainEngine", "Score", "make_engine"]

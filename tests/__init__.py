"""Shapes in annotations are checked at run time while the tests run."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from tests import shapes

CHECKED = ("grok_cli.core", "grok_cli.diagnostics")
COMPILED = "grok_cli.core.engines.fast.kernels"


class AsWritten(MetaPathFinder):
    """Finds modules that state no shapes, where a check around each function would only take time,
    and what numba compiles, which it could not with one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith(CHECKED) else None
        if spec is None or spec.origin is None:
            return None
        states_shapes = "jaxtyping" in Path(spec.origin).read_text()
        return spec if name == COMPILED or not states_shapes else None


os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes run side by side
shapes.check_modules(CHECKED)
sys.meta_path.insert(0, AsWritten())

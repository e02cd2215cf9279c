"""Shape annotations are checked at run time while the tests run."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from jaxtyping import install_import_hook

from tests import shapes


class AsWritten(MetaPathFinder):
    """Finds what numba compiles, which it could not with a check around each function."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "grok_cli.core.engines.fast.kernels":
            return None
        return PathFinder.find_spec(name, path, target)


os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes run side by side
install_import_hook(["grok_cli.core", "grok_cli.diagnostics"], f"{shapes.__name__}.check")
sys.meta_path.insert(0, AsWritten())

"""Which kernels the fast engine computes with.

    torch    torch's own operations and autograd, on every device; the reference of the others
    onednn   products by oneDNN, the factors' gradients by hand: float32, on CPUs with AVX-512
    numba    besides, rows in one pass by compiled kernels: on CPUs, with numba installed

Each gives the same bits whenever it is used on the same processor, and the same numbers as the
others but for their last digits.
"""

import warnings
from functools import cache
from importlib.util import find_spec

import torch

from grok_cli.core.config import Config
from grok_cli.core.engines.fast.products import has_onednn
from grok_cli.errors import GrokWarning

WORTH_COMPILING = 1_000  # steps of a run


def choose_kernels(config: Config, device: torch.device, factored: bool) -> str:
    """The kernels that `run.kernels` asks for, or the best that can be used instead.

    Args:
        factored: the model has the factored form, whose rows numba is for.
    """
    wanted: str = config.run.kernels
    dtype: torch.dtype = getattr(torch, config.train.dtype)
    without = "onednn" if has_onednn(dtype, device) else "torch"
    if wanted == "torch" or device.type != "cpu":
        return "torch"
    if wanted == "auto":
        long = config.train.steps >= WORTH_COMPILING
        wanted = "numba" if long and factored and find_spec("numba") else without
    if wanted == "onednn":
        return without
    if factored and not (hindrance := hindrance_to_numba(dtype)):
        return "numba"
    if factored:
        warnings.warn(
            f"run.kernels: numba cannot be used here: {hindrance}; going on with {without}, which "
            "gives the same numbers but for the last digits, more slowly",
            GrokWarning,
            stacklevel=2,
        )
    return without


@cache
def hindrance_to_numba(dtype: torch.dtype) -> str:
    """Why compiled kernels cannot be used; "" if they can, and then they are compiled."""
    try:
        from grok_cli.core.engines.fast.compiled import compile_kernels

        compile_kernels(dtype)
    except ImportError as error:
        return f"{error} (pip install 'numba>=0.60')"
    except Exception as error:  # of a folder that cannot be written, a processor without support
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""

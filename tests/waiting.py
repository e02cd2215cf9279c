"""Waiting for what other processes do, on machines of any speed."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds


def wait_for(condition: Callable[[], Any]) -> Any:
    """The first value of `condition` that is true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return value

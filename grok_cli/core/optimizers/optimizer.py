"""What an optimiser is: it updates parameters from their gradients, and can be stopped."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Optimizer(Protocol):
    """Updates parameters in place.

    Its state has the same keys and shapes from before the first step on, so that what a file holds
    can be compared with it, and an optimiser that took it back goes on to the same bits.
    """

    def step(self, learning_rate: float) -> None:
        """Update the parameters from their gradients, all of which must be there."""

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors in dicts and lists."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of an optimiser of the same parameters and settings."""

"""Whoever watches must not end what is watched."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

Heard = TypeVar("Heard")


def bystander(interface: type[Heard], watcher: Heard) -> Heard:
    """Passes everything on to a watcher, until that cannot write any more: its terminal or pipe is
    gone. From then on it does nothing.

    Args:
        interface: its public methods are what is passed on.
    """
    gone: list[OSError] = []

    def forward(name: str) -> Callable[..., None]:
        def tell(self: object, *news: Any) -> None:
            try:
                if not gone:
                    getattr(watcher, name)(*news)
            except OSError as error:
                gone.append(error)

        return tell

    methods = {name: forward(name) for name in vars(interface) if not name.startswith("_")}
    return cast(Heard, type("Bystander", (interface,), methods)())

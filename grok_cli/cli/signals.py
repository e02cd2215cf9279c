"""How the commands that train mind SIGINT and SIGTERM."""

import signal
from collections.abc import Callable


def stop_on_signals() -> Callable[[], bool]:
    """A function that tells whether SIGINT or SIGTERM came; SIGINT after that ends this process.

    A further SIGTERM does not: schedulers send it more than once, and a process that is saving
    should not be ended by that.
    """
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGINT, receive)
    signal.signal(signal.SIGTERM, receive)
    return lambda: bool(received)

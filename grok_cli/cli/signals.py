"""How the commands that train mind SIGINT, SIGTERM and SIGHUP."""

import signal
from collections.abc import Callable


def stop_on_signals() -> Callable[[], bool]:
    """A function that tells whether a signal to stop came; SIGINT after that ends this process.

    The signals are SIGINT (Ctrl-C), SIGTERM, and SIGHUP, which a terminal sends when it goes; one
    that `nohup` keeps away stays ignored. A further SIGTERM does not end the process: schedulers
    send it more than once, and a process that is saving should not be ended by that.
    """
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGINT, receive)
    signal.signal(signal.SIGTERM, receive)
    hang_up = getattr(signal, "SIGHUP", None)  # absent on Windows
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, receive)
    return lambda: bool(received)

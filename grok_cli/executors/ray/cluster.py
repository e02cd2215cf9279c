"""A connection to a Ray cluster: made quietly, and with errors that say what to do."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from grok_cli.errors import GrokError, UsageError
from grok_cli.executors.local import available_cores

REACH_SECONDS = 10.0  # how long a cluster's address may take to answer
OBJECT_STORE_BYTES = 200_000_000  # of a cluster started on the spot; files pass through it
LOCAL = "local"


def connect(address: str | None, runtime_env: Mapping[str, Any] | None = None) -> str:
    """Connect this process to a cluster.

    Args:
        address: "auto" (the cluster that this machine belongs to), HOST:PORT (from a machine of
            the cluster), ray://HOST:PORT (from anywhere), or "local": one of this machine alone,
            started now and ended with this process. By default what RAY_ADDRESS says, or "local".
        runtime_env: Ray's description of what workers need (environment variables, packages).

    Returns:
        The address.

    Raises:
        UsageError: there is no cluster at the address.
        GrokError: the cluster cannot be used.
    """
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    options: dict[str, Any] = {"address": address, "log_to_driver": False}
    if address == LOCAL:
        options |= {"num_cpus": available_cores(), "object_store_memory": OBJECT_STORE_BYTES}
        options["include_dashboard"] = False
    else:
        _reach(address)
    if runtime_env:
        options["runtime_env"] = dict(runtime_env)
    try:
        with _own_signals():
            ray.init(logging_level=logging.ERROR, **options)
    except (ConnectionError, TimeoutError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({_first_line(error)}); start one with `ray "
            "start --head`, or leave the address out to use this machine alone"
        ) from None
    except ImportError as error:  # ray:// needs more of Ray
        raise UsageError(f"{address}: {error}; pip install 'ray[client]'") from None
    except Exception as error:  # Ray raises some as that
        ray.shutdown()
        raise GrokError(f"Ray ({address}) cannot be used: {_advice(error)}") from None
    return address


@dataclass(frozen=True)
class Outside:
    """Ray and the clock.

    Attributes:
        ray: what has Ray's functions get, kill, nodes, remote, shutdown and wait.
        connect: as `connect` above.
        now: seconds that pass.
    """

    ray: Any = ray
    connect: Callable[..., str] = connect
    now: Callable[[], float] = time.monotonic


def why_no_node_fits(needs: Mapping[str, float], listed: Sequence[Mapping[str, Any]]) -> str:
    """Why no node that is there now could ever hold these resources; "" if one could.

    Args:
        needs: Ray's names of resources (CPU, GPU, memory in bytes), and how much of each.
        listed: the nodes as `ray.nodes` tells of them.
    """
    nodes = [node["Resources"] for node in listed if node["Alive"]]
    if any(all(node.get(name, 0) >= much for name, much in needs.items()) for node in nodes):
        return ""
    offers = {_amounts({name: node.get(name, 0) for name in needs}) for node in nodes}
    return (
        f"a run needs {_amounts(needs)}, and no node of the Ray cluster has that (they have: "
        f"{'; '.join(sorted(offers)) or 'no nodes'})"
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{much / 1e9:.3g} GB memory" if name == "memory" else f"{much:g} {name}"
        for name, much in resources.items()
    )


def _reach(address: str) -> None:
    """See quickly whether anybody answers, for Ray itself tries for minutes.

    Raises:
        UsageError: nobody does, or it is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise UsageError(
            f"{address}: not an address of a Ray cluster; expected auto, HOST:PORT, "
            "ray://HOST:PORT or local"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); `ray status` on "
            "its head node shows whether it runs"
        ) from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the SIGTERM handler of this process, which ray.init() would replace."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _advice(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        text += "; install the cluster's versions of Ray and Python here"
    if "timed out during startup" in text:
        text += " Try again when this machine is less busy: Ray waits 15 s for its own processes"
    return text


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

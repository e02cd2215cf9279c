"""A claim on a run directory: at most one process trains it, on one host or on many.

The claim is a file that appears with its content in one step (a hard link, which is atomic on
local and network file systems alike) and names its owner. A thread keeps it alive by touching it.
It is void when its owner is known to be dead (same host, no such process) or, across hosts, when
it has not been touched for `EXPIRES` seconds by the file server's own clock. Only a contender that
holds the file `.claim.takeover` may remove a void claim, so that none removes a newer one.
"""

import json
import os
import socket
import threading
import time
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from grok_cli.errors import GrokError, GrokWarning
from grok_cli.runs.files import read_json

TOUCH_EVERY = 5.0  # seconds
EXPIRES = 60.0  # seconds
SILENT = 1.0  # seconds of waiting after which it is said
OWNER_KEYS = {"host", "system", "pid", "started", "token"}


class ClaimedError(GrokError):
    """The directory is being trained by another process."""


class Claim:
    """Context manager that holds the claim `directory/claim.json`.

    Raises:
        ClaimedError: on entry, if a live process holds it.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "claim.json"
        self._mine = {**process_identity(), "token": uuid.uuid4().hex}
        self._released = threading.Event()
        self._began, self._said = time.monotonic(), False
        self._keeper = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self) -> "Claim":
        draft = self.path.with_name(f".claim.{self._mine['token']}")
        try:
            draft.write_text(json.dumps(self._mine))
            while not _link(draft, self.path):
                self._remove_if_void(draft)
        except OSError as error:
            error.filename, error.filename2 = str(self.path), None  # for the message
            raise
        finally:
            with suppress(OSError):  # nor is one there on a disk that may only be read
                draft.unlink(missing_ok=True)
        _remove_leftovers(self.path.parent)
        self._keeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._keeper.join()
        if self.is_mine():
            self.path.unlink(missing_ok=True)

    def is_mine(self) -> bool:
        """Whether the claim is still this one (a host that slept past EXPIRES may lose it)."""
        return read_claim(self.path) == self._mine

    def _remove_takeover(self, takeover: Path) -> None:
        """Remove the takeover of a dead process, and only that: another contender may have been
        quicker, and hold one of its own by now."""
        aside = takeover.with_name(f".claim.aside.{self._mine['token']}")
        try:
            takeover.rename(aside)
        except FileNotFoundError:
            return
        if _is_in_use(aside):
            _link(aside, takeover)
        aside.unlink(missing_ok=True)

    def _say_once(self, takeover: Path) -> None:
        waited = time.monotonic() - self._began
        if waited > SILENT and not self._said:
            self._said = True
            owner = read_claim(takeover) or {"pid": "?", "host": "?"}
            warnings.warn(
                f"{self.path.parent}: waiting for process {owner['pid']} on {owner['host']}, which "
                f"is taking this run over; it counts as dead {EXPIRES:.0f} s after its last sign",
                GrokWarning,
                stacklevel=4,
            )

    def _keep_alive(self) -> None:
        while not self._released.wait(TOUCH_EVERY):
            if self.is_mine():
                os.utime(self.path)

    def _remove_if_void(self, draft: Path) -> None:
        takeover = self.path.with_name(".claim.takeover")
        if not _link(draft, takeover):
            if not _is_in_use(takeover):
                self._remove_takeover(takeover)
            else:
                self._say_once(takeover)
                time.sleep(0.02)
            return
        try:
            owner = live_owner(self.path)
            if owner is not None:
                raise ClaimedError(
                    f"{self.path.parent} is being trained by process {owner['pid']} on "
                    f"{owner['host']}; wait for it, or stop it first"
                )
            self.path.unlink(missing_ok=True)
        finally:
            takeover.unlink(missing_ok=True)


def _is_in_use(file: Path) -> bool:
    """Whether the process that a draft or takeover names may live: on another host until it
    EXPIRES, on this one as long as it does."""
    if read_claim(file) is None:
        return file.exists() and _age(file) < EXPIRES
    return live_owner(file) is not None


def _remove_leftovers(directory: Path) -> None:
    """Remove what processes left that were killed; the caller holds the claim."""
    for file in directory.glob(".claim.*"):
        if file.name != ".claim.takeover" and not _is_in_use(file):
            file.unlink(missing_ok=True)
    for file in (*directory.glob(".*.tmp"), *directory.glob("snapshots/.*.tmp")):
        # Only `grok measure` writes into a run that it does not hold.
        if not file.name.startswith(".measured") or _age(file) > EXPIRES:
            file.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name, unless the name is taken."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def live_owner(path: Path) -> dict[str, str | int] | None:
    """The owner of a claim file, or None if there is no claim or it is void."""
    owner = read_claim(path)
    if owner is None:
        return None
    here = process_identity()
    if (owner["host"], owner["system"]) == (here["host"], here["system"]):
        alive = process_started(int(owner["pid"])) == owner["started"]
        return owner if alive else None
    return owner if _age(path) < EXPIRES else None


def read_claim(path: Path) -> dict[str, str | int] | None:
    """The owner that a claim file names; None if there is none, or it is damaged and so void."""
    content = read_json(path)
    if not content or not content.keys() >= OWNER_KEYS or type(content["pid"]) is not int:
        return None
    return content if all(type(content[key]) in (str, int) for key in OWNER_KEYS) else None


def process_identity() -> dict[str, str | int]:
    """Host, running system, process number and start time, which name a process for good."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "system": _system(),
        "pid": pid,
        "started": process_started(pid) or "",
    }


def _system() -> str:
    """What numbers processes: the boot, and the container, of which a host name tells nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_started(pid: int) -> str | None:
    """When a process of this host started, as an opaque text; None if there is no such process."""
    try:
        # Field 22 of /proc/PID/stat; the command before it may hold spaces but ends with ")".
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)  # no /proc (macOS): existence is all there is to know
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of the file system that holds it."""
    probe = path.with_name(f".claim.now.{uuid.uuid4().hex}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError:  # a directory that we may only read
        now = time.time()
    with suppress(OSError):
        probe.unlink(missing_ok=True)
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return EXPIRES

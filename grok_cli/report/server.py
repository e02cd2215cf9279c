"""Serves the report of runs that are still going, to this machine only: `grok watch`.

There is one page, at an address that nobody can guess, and nothing else: no file is reachable by a
path, since no path is ever looked up. A request that does not name this machine as its host is
refused, so that a page from elsewhere whose name was made to point here (DNS rebinding) reads
nothing.
"""

import contextlib
import hmac
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Lock, Timer
from typing import Any

from grok_cli.errors import GrokError
from grok_cli.report.pages import html_page
from grok_cli.report.report import Report
from grok_cli.report.scrubber import Frames, look_into, make_scrubber
from grok_cli.runs.directory import find_runs

HERE = "127.0.0.1"
CONNECTIONS = 16  # at a time
PATIENCE = 10.0  # seconds in which a request must arrive
REST = 10.0  # a page is made anew after this many times as long as it took, at the earliest
SHORTEST_REST = 2.0  # seconds
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is the secret
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Looks:
    """Looks into snapshots, each once; a run's planes are chosen anew when it has twice as many."""

    def __init__(self) -> None:
        self._runs: dict[Path, tuple[int, tuple[int, ...] | None, dict[Path, Frames]]] = {}

    def __call__(self, files: Sequence[Path]) -> Frames:
        from grok_cli.runs.measuring import last_frequencies

        run = files[0].parent
        count, keys, known = self._runs.get(run, (0, None, {}))
        if keys is None or len(files) >= 2 * count:
            try:
                count, keys, known = len(files), last_frequencies(files), {}
            except GrokError:
                return look_into(files)
        frames: Frames = ([], [], [])
        for file in files:
            if file not in known:
                known[file] = look_into([file], keys)
            steps, captions, charts = known[file]
            frames[0].extend(steps)
            frames[1].extend(captions)
            frames[2].extend(charts)
        self._runs[run] = count, keys, known
        return frames


@dataclass
class LivePage:
    """The page of a directory of runs as it is now.

    It is made anew when it is asked for and a file of the runs has changed, and at most a tenth of
    the time goes into that.

    Attributes:
        report: reads the runs.
        inside: how many runs are looked into; see `make_scrubber`.
        clock: seconds, for the tests.
    """

    directory: Path
    report: Callable[[], Report]
    inside: int | None = None
    clock: Callable[[], float] = time.monotonic
    content: bytes = b""
    tag: str = ""
    _looks: Looks = field(default_factory=Looks)
    _seen: list[Any] = field(default_factory=list)
    _next: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def now(self) -> tuple[str, bytes]:
        """A tag that changes with the page, and the page.

        Raises:
            GrokError: it cannot be made, and never could.
        """
        with self._lock:
            if self.clock() >= self._next:
                try:
                    self._renew()
                except (GrokError, OSError):  # the runs are being moved, say: what was, stays
                    if not self.content:
                        raise
            return self.tag, self.content

    def _renew(self) -> None:
        seen = signature(self.directory)
        if seen == self._seen and self.content:
            return
        begun = self.clock()
        report = self.report()
        scrubber = make_scrubber(report, self.inside, self._looks)
        tag = f'"{blake2b(repr(seen).encode(), digest_size=8).hexdigest()}"'
        self.content = html_page(report, scrubber, live=tag).encode()
        self.tag, self._seen = tag, seen
        self._next = self.clock() + max(SHORTEST_REST, REST * (self.clock() - begun))


def signature(directory: Path) -> list[Any]:
    """Changes whenever a file of the runs does that the report reads."""
    found: list[Any] = []
    for run in find_runs(directory):
        for name in ("metrics.csv", "measured.csv", "summary.json", "claim.json", "snapshots"):
            try:
                state = (run.path / name).stat()
            except OSError:
                continue
            found.append((str(run.path), name, state.st_mtime_ns, state.st_size))
    return found


class PageServer(ThreadingHTTPServer):
    """Gives the live page to who knows its address, on the loopback interface.

    Attributes:
        address: of the page.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, page: LivePage, port: int = 0) -> None:
        super().__init__((HERE, port), _Handler)
        self.page, self.token = page, secrets.token_urlsafe(24)
        self._free = BoundedSemaphore(CONNECTIONS)

    @property
    def address(self) -> str:
        return f"http://{HERE}:{self.server_port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread a request, and no more than `CONNECTIONS`: others are hung up on."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A request that trickles in is cut off: it would hold its place for ever."""
        late = Timer(PATIENCE, _hear_no_more, [request])
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up early is no error of ours."""


def _hear_no_more(request: socket.socket) -> None:
    """What has not arrived will not; an answer can still be given."""
    with contextlib.suppress(OSError):  # it is over
        request.shutdown(socket.SHUT_RD)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = PATIENCE
    server_version, sys_version = "grok", ""

    def do_GET(self) -> None:
        """The page, or that it has not changed, or that there is nothing."""
        hosts = [f"{name}:{self.server.server_port}" for name in (HERE, "localhost")]
        if self.headers.get_all("Host") not in [[host] for host in hosts]:
            return self._answer(HTTPStatus.FORBIDDEN)
        wanted = f"/{self.server.token}/"
        if not hmac.compare_digest(self.path.encode(), wanted.encode()):
            return self._answer(HTTPStatus.NOT_FOUND)
        try:
            tag, content = self.server.page.now()
        except (GrokError, OSError) as error:
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        if self.headers.get("If-None-Match") == tag:
            return self._answer(HTTPStatus.NOT_MODIFIED)
        self.send_response(HTTPStatus.OK)
        self.send_header("ETag", tag)
        self._finish(content)

    do_HEAD = do_GET

    def _refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        self.send_response(status)
        self._finish(b"" if status == HTTPStatus.NOT_MODIFIED else (text or status.phrase).encode())

    def _finish(self, content: bytes) -> None:
        for name, value in HEADERS.items():
            is_text = name == "Content-Type" and not content.startswith(b"<!DOCTYPE html>")
            self.send_header(name, "text/plain; charset=utf-8" if is_text else value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the address is a secret, and stderr is the user's."""

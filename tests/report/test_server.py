"""The page that renews itself: what it shows, who may read it, and what attacks get."""

import http.client
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grok_cli.errors import GrokError
from grok_cli.report.report import make_report
from grok_cli.report.server import CONNECTIONS, HERE, LivePage, Looks, PageServer, signature
from grok_cli.runs.directory import RunDir, find_runs
from tests.browser import browser, needs_browser
from tests.groups import train_groups
from tests.waiting import PATIENCE, wait_for
from tests.written_runs import make_run


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs", {"step": [10, 20], "test/accuracy": [0.1, 0.2]}, "running")
    return tmp_path / "runs"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def page(runs: Path, clock: Clock) -> LivePage:
    return LivePage(runs, lambda: make_report(runs), 0, clock)


@pytest.fixture
def server(page: LivePage) -> Iterator[PageServer]:
    with PageServer(page) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def asked(
    server: PageServer, path: str | None = None, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """The answer to a request; path None: the page's."""
    connection = http.client.HTTPConnection(HERE, server.server_port, timeout=PATIENCE)
    wanted = f"/{server.token}/" if path is None else path
    host = headers.pop("Host", f"{HERE}:{server.server_port}")
    connection.putrequest(method, wanted, skip_host=True)
    if host:
        connection.putheader("Host", host)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def new_point(runs: Path, text: str = "30,0.9\n") -> None:
    (run,) = find_runs(runs)
    with run.metrics_file.open("a") as file:
        file.write(text)


# What it shows.


def test_new_points_come_and_what_has_not_changed_is_not_made_again(
    page: LivePage, runs: Path, clock: Clock
) -> None:
    tag, content = page.now()
    assert b"started.then(live)" in content
    clock.time += 1000
    assert page.now() == (tag, content)
    new_point(runs)
    clock.time += 1000
    newer, other = page.now()
    assert newer != tag
    assert b'"n":3' in other  # the points of a curve
    assert b'"n":3' not in content
    assert other != content


def test_at_most_a_tenth_of_the_time_goes_into_making_it(runs: Path, clock: Clock) -> None:
    made = []

    def slow() -> object:
        clock.time += 5.0
        made.append(clock.time)
        return make_report(runs)

    page = LivePage(runs, slow, 0, clock)  # type: ignore[arg-type]
    for _ in range(100):
        new_point(runs, "30,0.9\n" if not made else "")
        (run,) = find_runs(runs)
        run.metrics_file.touch()
        page.now()
        clock.time += 1.0
    assert len(made) == 2  # in 110 seconds; the next one may come after 55


def test_a_directory_that_goes_leaves_the_last_page(
    page: LivePage, runs: Path, clock: Clock
) -> None:
    before = page.now()
    shutil.rmtree(runs)
    clock.time += 1000
    assert page.now() == before
    with pytest.raises(GrokError):
        LivePage(runs, lambda: make_report(runs), 0, clock).now()


def test_a_snapshot_is_looked_into_once_and_planes_stay_until_there_are_twice_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grok_cli.report import server

    directory = train_groups(tmp_path / "runs")
    files = RunDir(next(iter(find_runs(directory))).path).snapshots()
    looked: list[Path] = []
    real = server.look_into

    def counted(some: list[Path], keys: tuple[int, ...]) -> server.Frames:
        looked.extend(some)
        return real(some, keys)

    monkeypatch.setattr(server, "look_into", counted)
    looks = Looks()
    first = looks(files[:3])
    assert first[0] == [int(file.stem[5:]) for file in files[:3]]
    assert looks(files[:5])[0] == [int(file.stem[5:]) for file in files[:5]]
    assert looked == files[:5]
    looks(files[:6])
    assert len(looked) == 5 + 6


def test_snapshots_whose_last_is_damaged_are_looked_into_without_planes_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damaged(files: list[Path]) -> tuple[int, ...]:
        raise GrokError("damaged")

    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("grok_cli.runs.measuring.last_frequencies", damaged)
    monkeypatch.setattr(
        "grok_cli.report.server.look_into", lambda *given: asked.append(given) or ([7], ["x"], [[]])
    )
    files, looks = [Path("run/a.pt"), Path("run/b.pt")], Looks()
    for _ in range(2):  # and asks anew, since the last may be whole by then
        assert looks(files) == ([7], ["x"], [[]])
    assert asked == [(files,), (files,)]


def test_everything_that_the_report_reads_changes_the_signature(runs: Path) -> None:
    (run,) = find_runs(runs)
    for change in (
        lambda: new_point(runs),
        lambda: run.summary_file.write_text('{"status": "finished", "step": 30}'),
        lambda: (run.path / "snapshots").mkdir(exist_ok=True),
        lambda: run.measured_file.write_text("step,a\n10,1\n"),
        lambda: (run.path / "claim.json").write_text("{}"),
    ):
        before = signature(runs)
        change()
        assert signature(runs) != before


# Who may read it.


def test_the_page_is_given_to_who_knows_the_address_on_this_machine(server: PageServer) -> None:
    assert server.server_address[0] == HERE
    assert len(server.token) >= 32
    status, headers, content = asked(server)
    assert (status, content.startswith(b"<!DOCTYPE html>")) == (200, True)
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in headers
    assert asked(server, Host=f"localhost:{server.server_port}")[0] == 200
    assert asked(server, method="HEAD")[2] == b""
    unchanged = asked(server, If_None_Match=headers["ETag"])
    assert (unchanged[0], unchanged[2]) == (304, b"")


def test_nothing_else_is_reachable(server: PageServer, runs: Path) -> None:
    (run,) = find_runs(runs)
    token = server.token
    for path in (
        "/",
        "/favicon.ico",
        f"/{token}",
        f"/{token}/?",
        f"/{token}/../",
        f"/{token}/metrics.csv",
        f"/{token}/{run.path.name}/config.yaml",
        f"/{token}/%2e%2e/%2e%2e/etc/passwd",
        f"/{token}/../../../../etc/passwd",
        f"/{token[:-1]}/",
        f"/{token.swapcase()}/",
        "/etc/passwd",
        f"http://{HERE}:{server.server_port}/{token}/",
        "*",
    ):
        status, _, content = asked(server, path)
        assert (status, content) == (404, b"Not Found"), path


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil", ""])
def test_a_request_to_another_host_is_refused(server: PageServer, host: str) -> None:
    status, _, content = asked(server, Host=host)
    assert (status, content) == (403, b"Forbidden")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_sent(server: PageServer, method: str) -> None:
    assert asked(server, method=method, Content_Length="1000000000000")[0] == 405
    assert asked(server, method="BREW")[0] == 501
    assert asked(server)[0] == 200


def sent(server: PageServer, data: bytes) -> bytes:
    """What comes back for bytes, until the other side closes."""
    with socket.create_connection((HERE, server.server_port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            return connection.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", b"431"),
        (b"\x00\xff\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /\xc3\xa4\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"403"),
    ],
)
def test_huge_and_broken_requests_are_refused(
    server: PageServer, data: bytes, status: bytes
) -> None:
    answer = sent(server, data)
    assert answer == b"" or status in answer.split(b"\r\n")[0] or status in answer
    assert server.token.encode() not in answer
    assert asked(server)[0] == 200


def test_two_hosts_in_one_request_are_refused(server: PageServer) -> None:
    here = f"{HERE}:{server.server_port}".encode()
    request = f"GET /{server.token}/ HTTP/1.1\r\n".encode()
    answer = sent(server, request + b"Host: " + here + b"\r\nHost: evil.example\r\n\r\n")
    assert b" 403 " in answer.split(b"\r\n")[0]


@pytest.mark.slow
def test_silent_connections_hold_up_nobody_and_go(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.5)
    silent = [socket.create_connection((HERE, server.server_port)) for _ in range(CONNECTIONS - 1)]
    assert asked(server)[0] == 200
    silent += [socket.create_connection((HERE, server.server_port)) for _ in range(30)]
    for connection in silent:
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b""  # hung up on
        connection.close()
    wait_for(lambda: is_answered(server))  # a place is free a moment after its caller knows


def is_answered(server: PageServer) -> bool:
    try:
        return asked(server)[0] == 200
    except ConnectionError:
        return False


def test_requests_that_trickle_in_lose_their_place(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grok_cli.report.server.PATIENCE", 0.5)
    slow = [socket.create_connection((HERE, server.server_port)) for _ in range(CONNECTIONS)]
    for connection in slow:
        connection.settimeout(0.05)
    while slow:  # a byte from each, never so late that it would be silent
        for connection in list(slow):
            try:
                connection.sendall(b"G")
                gone = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                slow.remove(connection)
                connection.close()
    assert asked(server)[0] == 200


def test_a_page_that_cannot_be_made_says_why(server: PageServer, runs: Path) -> None:
    shutil.rmtree(runs)
    status, headers, content = asked(server)
    assert status == 500
    assert headers["Content-Type"].startswith("text/plain")
    assert str(runs).encode() in content


@needs_browser
def test_new_points_come_into_the_open_page_and_the_view_stays(
    server: PageServer, runs: Path, clock: Clock
) -> None:
    with browser() as chromium:
        chromium.call("POST", "/timeouts", {"script": 30_000})
        chromium.call("POST", "/url", {"url": server.address})
        chromium.run("window.same = true; document.querySelector('details').open = true")
        new_point(runs)
        clock.time += 1000
        wait = (
            "const done = arguments[0]; const look = () => document.querySelector('.told-step')"
            "?.textContent === 'step 30' ? done([window.same,"
            " document.querySelector('details').open, document.querySelector('.live').textContent])"
            " : setTimeout(look, 50); look();"
        )
        same, still_open, told = chromium.call(
            "POST", "/execute/async", {"script": wait, "args": []}
        )
        assert (same, still_open) == (True, True)  # not loaded anew
        assert told
        assert chromium.messages() == []

"""Sweeps on a real Ray cluster of two nodes: nothing that is lost changes a result."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grok_cli.errors import UsageError
from grok_cli.executors.local import LocalExecutor
from grok_cli.executors.ray.options import RayOptions
from grok_cli.runs.directory import RunDir
from grok_cli.sweeps.drive import Driver, SweepWatcher
from grok_cli.sweeps.plan import PlannedRun, plan_runs
from grok_cli.sweeps.spec import Spec
from grok_cli.sweeps.states import Entry
from tests.executors.ray_cluster import TwoNodes, processes, two_nodes
from tests.waiting import wait_for

pytest.importorskip("ray", reason="Ray is not installed")

import ray

from grok_cli.executors.ray.cluster import Outside, connect
from grok_cli.executors.ray.executor import RayExecutor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("clusters"),  # one cluster for all, which wait while others compute
]

SETTINGS = {
    **{"data.modulus": 11, "model.d_model": 16, "model.n_heads": 2, "model.ln_type": "mlp-pre"},
    **{"train.steps": 1000, "run.save_every": 50, "train.snapshot_every": 400},
}
Hook = Callable[[], bool]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the nodes keep their copies."""
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def cluster(scratch: Path) -> Iterator[TwoNodes]:
    with two_nodes(scratch) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The metrics of the runs by name, as the local executor writes them."""
    runs = planned(tmp_path_factory.mktemp("local"))
    Driver(runs, LocalExecutor(2, 1), SweepWatcher()).run()
    return metrics(runs)


def fast_clock() -> float:
    """Ten seconds pass in one, so that news is asked for more often."""
    return 10 * time.monotonic()


def short_sleep(seconds: float) -> None:
    time.sleep(seconds / 4)


def planned(directory: Path, **changes: Any) -> list[PlannedRun]:
    return plan_runs(Spec(), SETTINGS | changes, [1, 2], directory)


def metrics(runs: Sequence[PlannedRun]) -> dict[str, bytes]:
    return {run.name: run.run.metrics_file.read_bytes() for run in runs}


def drive_on(
    cluster: TwoNodes,
    runs: Sequence[PlannedRun],
    storage: str,
    hook: Hook = lambda: False,
    watcher: SweepWatcher | None = None,
) -> list[Entry]:
    """Drive runs on the cluster; the hook is called all the time, and says when to stop."""
    cluster.complete()
    options = RayOptions(address=cluster.address, storage=storage)  # type: ignore[arg-type]
    executor = RayExecutor(options, Outside(now=fast_clock))
    watcher = watcher or SweepWatcher()
    return Driver(runs, executor, watcher, should_stop=hook, sleep=short_sleep).run()


def when_under_way(runs: Sequence[PlannedRun], act: Callable[[list[int]], None]) -> Hook:
    """A hook that stops the worker of each run in the middle of its work, acts on all of them once
    that is done, and stops nothing else."""
    stopped: dict[str, int] = {}

    def hook() -> bool:
        for run in runs:
            if run.name not in stopped and is_under_way(run.run):
                (stopped[run.name],) = workers(run.run)
                os.kill(stopped[run.name], signal.SIGSTOP)
                if len(stopped) == len(runs):
                    act(list(stopped.values()))
        return False

    return hook


def is_under_way(run: RunDir) -> bool:
    """A state of it has been saved here."""
    return run.resume_file.exists()


def workers(run: RunDir) -> list[int]:
    """The processes that train a run, or a copy of it: all below this test's own folders."""
    ours = processes(f"{run.path.parent.parent}/")
    return [pid for pid in processes(f"/{run.path.name}\0") if pid in ours]


def from_steps(entry: Entry) -> list[int]:
    """The steps at which the workers of a run began."""
    sessions = json.loads(entry.planned.run.environment_file.read_text())
    return [session["from_step"] for session in sessions]


def states(entries: Sequence[Entry]) -> list[str]:
    return [entry.state for entry in entries]


@pytest.mark.parametrize("storage", ["driver", "shared"])
def test_lost_worker_and_lost_node_change_no_metric(
    cluster: TwoNodes, whole: dict[str, bytes], scratch: Path, tmp_path: Path, storage: str
) -> None:
    """A node goes, and with it its run; at that moment the other node's worker is killed."""
    runs = planned(tmp_path)
    reasons: list[str] = []

    class Watcher(SweepWatcher):
        def changed(self, entry: Entry) -> None:
            reasons.append(entry.reason)

    def disturb(pids: list[int]) -> None:
        stays = [pid for pid in pids if not cluster.is_on_other(pid)]
        assert len(stays) == 1, "each node trains a run"
        os.kill(stays[0], signal.SIGKILL)
        cluster.take_other_away()
        for pid in set(pids) - set(stays):  # ends where its node is gone
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    hook = when_under_way(runs, disturb)
    entries = drive_on(cluster, runs, storage, hook, watcher=Watcher())
    assert states(entries) == ["finished"] * 2
    assert metrics(runs) == whole
    assert "killed by SIGKILL" in reasons
    assert any("worker or node was lost" in reason for reason in reasons)
    attempts = [entry.attempts for entry in entries]
    assert sorted(attempts) == [1, 2], "a lost node is no fault of the run"
    assert all(len(steps) == 2 and steps[1] > 0 for steps in map(from_steps, entries))
    for entry in entries:
        names = {path.name for path in entry.planned.run.snapshots()}
        assert names >= {"step_000000.pt", "step_000400.pt", "step_001000.pt"}
    assert not list(scratch.glob("grok-ray-*/*/*")), "copies are removed"


def test_stopped_runs_are_saved_and_the_same_sweep_goes_on(
    cluster: TwoNodes, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """A third run waits for a node meanwhile, and stays as it is."""
    runs = [*planned(tmp_path), *plan_runs(Spec(), SETTINGS, [3], tmp_path)]
    entries = drive_on(cluster, runs, "driver", lambda: all(is_under_way(r.run) for r in runs[:2]))
    assert states(entries) == ["interrupted", "interrupted", "waiting"]
    for run in runs:
        summary = run.summary()
        assert summary["status"] in ("interrupted", "new")
        assert summary.get("step", 0) < 1000
    again = drive_on(cluster, runs[:2], "shared")
    assert states(again) == ["finished"] * 2
    assert metrics(runs[:2]) == whole
    assert all(len(steps) == 2 and steps[1] > 0 for steps in map(from_steps, again))


def test_killed_driver_ends_its_workers_and_the_same_command_goes_on(
    cluster: TwoNodes, whole: dict[str, bytes], tmp_path: Path
) -> None:
    cluster.complete()
    command = [
        *(sys.executable, "-m", "grok_cli", "sweep", "--seeds", "1,2", "--runs-dir", str(tmp_path)),
        *("--grid", "model.ln_type=mlp-pre"),
        *(f"--set={key}={value}" for key, value in SETTINGS.items() if key != "model.ln_type"),
        *("--executor", "ray", "--address", cluster.address, "--storage", "driver"),
        "--no-reuse",
    ]
    runs = planned(tmp_path)
    with (tmp_path / "sweep.txt").open("w") as log:
        sweep = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(lambda: any(is_under_way(run.run) for run in runs) or sweep.poll() is not None)
        sweep.kill()
        sweep.wait()
    wait_for(lambda: not any(workers(run.run) for run in runs))
    assert {run.summary()["status"] for run in runs} <= {"interrupted", "new"}

    again = subprocess.run(command, text=True, capture_output=True)
    assert again.returncode == 0, again.stderr
    assert metrics(runs) == whole
    shown = again.stderr.splitlines()
    assert all(line.startswith(("2 runs", "[")) for line in shown), "Ray itself says nothing"


def test_run_that_no_node_can_hold_is_refused_at_once(cluster: TwoNodes) -> None:
    cluster.complete()
    with pytest.raises(UsageError, match=r"a run needs 2 CPU, 1 GPU, .*they have: 1 CPU, 0 GPU"):
        RayExecutor(RayOptions(address=cluster.address, cpus=2, gpus=1, memory="1G"))


def test_run_that_no_node_can_hold_any_more_fails_with_the_reason(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    """As after the last large node has left, a long time ago by this clock."""
    cluster.complete()
    large = [{"Alive": True, "Resources": {"CPU": 2}}]
    looks = chain([large], repeat(None))
    names = ("get", "kill", "remote", "shutdown", "wait")
    api = SimpleNamespace(**{name: getattr(ray, name) for name in names})
    api.nodes = lambda: next(looks) or ray.nodes()  # type: ignore[no-untyped-call]
    outside = Outside(api, now=lambda: 100 * time.monotonic())
    executor = RayExecutor(RayOptions(address=cluster.address, cpus=2), outside)
    entries = Driver(planned(tmp_path), executor, SweepWatcher(), sleep=short_sleep).run()
    assert states(entries) == ["failed"] * 2
    assert "no node of the Ray cluster has that (they have: 1 CPU)" in entries[0].reason


def test_address_without_a_cluster_is_an_error_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(UsageError, match=r"no Ray cluster answers at .* `ray status`"):
            connect(address)
    with pytest.raises(UsageError, match="expected auto, HOST:PORT"):
        connect("head")

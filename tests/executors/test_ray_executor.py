"""What the Ray executor makes of what Ray tells. Ray here is scripted; a real one is in
test_ray.py."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra [ray]")

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from grok_cli import __version__
from grok_cli.errors import UsageError
from grok_cli.executors.base import Change
from grok_cli.executors.ray.actor import News, Node
from grok_cli.executors.ray.cluster import Outside
from grok_cli.executors.ray.executor import AHEAD, RayExecutor
from grok_cli.executors.ray.options import RayOptions
from grok_cli.executors.ray.states import LIFE, Event, State
from grok_cli.runs.claim import Claim
from grok_cli.sweeps.drive import Driver, SweepWatcher
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import PAPER
from tests.executors.jobs import make_jobs, told

NODE = Node("host", __version__)
LOST = ActorDiedError()
MISSING = RayTaskError("__init__", "No module named 'grok_cli'", ImportError())
Answer = Any  # of a method of the actor; an exception is raised, and None means none yet


class ScriptedRay:
    """Ray, whose actors answer as the test says.

    Attributes:
        answers: what each method gives for a run, by its directory's name: one after the other,
            the last again and again.
        called: the methods of actors that were called.
        nodes_listed: resources of the nodes.
        clock: seconds.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "node": [NODE],
            "start": [{}],
            "news": [News(None)],
        }
        self.called: list[str] = []
        self.killed = self.actors = 0
        self.nodes_listed: list[Mapping[str, float]] = [{"CPU": 4}]
        self.clock = 1000.0
        self.outside = Outside(self, lambda address, environment: "here", lambda: self.clock)

    def remote(self, actor: type) -> Any:
        return self

    def options(self, **given: Any) -> Any:
        scripted = self

        class Make:
            def remote(self) -> ScriptedActor:
                scripted.actors += 1
                return ScriptedActor(scripted)

        return Make()

    def get(self, reply: "Reply") -> Any:
        if isinstance(reply.answer, BaseException):
            raise reply.answer
        return reply.answer

    def wait(self, replies: "list[Reply]", **given: Any) -> Any:
        return [reply for reply in replies if reply.answer is not None], []

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": resources} for resources in self.nodes_listed]

    def shutdown(self) -> None:
        self.clock = 0.0


class Reply:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class ScriptedActor:
    def __init__(self, scripted: ScriptedRay) -> None:
        self._scripted = scripted

    def __getattr__(self, name: str) -> Any:
        scripted = self._scripted

        class Method:
            def remote(self, *arguments: Any) -> Reply:
                scripted.called.append(name)
                answers = scripted.answers.get(name, [True])
                return Reply(answers.pop(0) if len(answers) > 1 else answers[0])

        return Method()


@pytest.fixture
def scripted() -> ScriptedRay:
    return ScriptedRay()


def polled(executor: RayExecutor, scripted: ScriptedRay, times: int = 1) -> list[Change]:
    """What is told in so many polls, with enough time between."""
    told = []
    for _ in range(times):
        scripted.clock += 2
        told += executor.poll()
    return told


def test_every_state_knows_where_every_event_leads_that_can_happen_in_it() -> None:
    assert LIFE.keys() == set(State) - {State.ENDED}
    for events in LIFE.values():
        assert events[Event.DROPPED] == (State.ENDED, ())
        assert events[Event.ENDED] == (State.ENDED, ("ended",))
    reached = {state for events in LIFE.values() for state, _ in events.values()}
    assert reached == set(State)


def test_a_job_is_told_from_start_to_end(scripted: ScriptedRay, tmp_path: Path) -> None:
    scripted.answers["news"] = [News(None), News(3)]
    executor = RayExecutor(RayOptions(), scripted.outside)
    executor.submit(make_jobs(tmp_path, 1))
    assert told(polled(executor, scripted, 5)) == [("started", None), ("ended", 3)]
    assert scripted.called == ["node", "start", "news", "news", "clean"]
    assert scripted.killed == 0


def test_ray_looks_for_nodes_for_so_many_jobs_at_a_time(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers["node"] = [None]
    executor = RayExecutor(RayOptions(), scripted.outside)
    executor.submit(make_jobs(tmp_path, 1) * (AHEAD + 5))
    polled(executor, scripted, 3)
    assert scripted.actors == AHEAD


@pytest.mark.parametrize("method", ["node", "start", "news"])
def test_a_lost_node_is_no_end_until_it_happens_too_often(
    method: str, scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers[method] = [LOST]
    executor = RayExecutor(RayOptions(lost_retries=2), scripted.outside)
    executor.submit(make_jobs(tmp_path, 1))
    changes = polled(executor, scripted, 20)
    assert told(changes) == [("started", None), ("requeued", None)] * 3 + [("ended", None)]
    assert "worker or node was lost: " in changes[-1].reason
    assert (scripted.actors, scripted.killed) == (3, 3)


def test_a_lost_job_is_given_again_when_its_claim_is_gone(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    (job,) = make_jobs(tmp_path, 1)
    scripted.answers["news"] = [LOST, News(0)]
    executor = RayExecutor(RayOptions(), scripted.outside)
    executor.submit([job])
    with Claim(job.run.path):  # the worker still saves
        polled(executor, scripted, 10)
        assert scripted.actors == 1
    assert told(polled(executor, scripted, 5)) == [("started", None), ("ended", 0)]
    assert scripted.actors == 2


def test_a_gap_in_the_network_is_no_loss_while_a_worker_trains(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers["news"] = [ActorUnavailableError("gap", None), News(0)]
    executor = RayExecutor(RayOptions(), scripted.outside)
    executor.submit(make_jobs(tmp_path, 1))
    assert told(polled(executor, scripted, 5)) == [("started", None), ("ended", 0)]


@pytest.mark.parametrize(
    ("method", "answer", "reason"),
    [
        ("node", Node("host", "0"), "host has grok_cli 0, and this is"),
        ("node", ActorDiedError(MISSING), "install grok_cli"),
        ("start", RayTaskError("start", "", FileNotFoundError("not shared")), "not shared"),
    ],
)
def test_what_another_attempt_would_not_help_is_told_as_such(
    method: str, answer: Answer, reason: str, scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers[method] = [answer]
    executor = RayExecutor(RayOptions(lost_retries=0), scripted.outside)
    executor.submit(make_jobs(tmp_path, 1))
    last = polled(executor, scripted, 5)[-1]
    assert (last.state, last.exit_code) == ("ended", None)
    assert reason in last.reason
    assert scripted.killed == 1


def test_a_claimed_copy_is_a_worker_that_is_turned_away(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    (job,) = make_jobs(tmp_path, 1)
    executor = RayExecutor(RayOptions(storage="driver"), scripted.outside)
    executor.submit([job])
    with Claim(job.run.path):
        assert told(polled(executor, scripted, 3)) == [("ended", 1)]


def test_stop_forgets_what_has_no_worker_and_awaits_the_rest(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers["node"] = [NODE, None]
    executor = RayExecutor(RayOptions(), scripted.outside)
    executor.submit(make_jobs(tmp_path, 2))
    polled(executor, scripted, 3)
    executor.stop()
    assert scripted.killed == 1
    scripted.answers["news"] = [LOST]
    assert told(polled(executor, scripted, 3)) == [("ended", -9)]


def test_jobs_that_no_node_can_hold_end_after_a_while(
    scripted: ScriptedRay, tmp_path: Path
) -> None:
    scripted.answers["node"] = [None]
    executor = RayExecutor(RayOptions(cpus=4), scripted.outside)
    executor.submit(make_jobs(tmp_path, 2))
    scripted.nodes_listed = [{"CPU": 2}]
    assert polled(executor, scripted, 20) == []
    changes = polled(executor, scripted, 20)
    assert told(changes) == [("ended", None)] * 2
    assert "they have: 2 CPU" in changes[0].reason
    with pytest.raises(UsageError, match="nodes_may_join"):
        RayExecutor(RayOptions(cpus=4), scripted.outside)


@pytest.mark.parametrize(
    ("answers", "state", "attempts"),
    [
        ([News(1), LOST, LOST, News(0)], "finished", 2),  # a crash is an attempt, a loss is none
        ([News(1), LOST, News(1)], "failed", 2),
        ([LOST, LOST, LOST], "failed", 0),
    ],
)
def test_a_crash_uses_up_an_attempt_and_a_lost_node_does_not(
    answers: list[Answer], state: str, attempts: int, scripted: ScriptedRay, tmp_path: Path
) -> None:
    (run,) = plan_runs(PAPER, {"model.ln_type": "pre"}, [1], tmp_path)

    def get(reply: Reply) -> Any:
        if isinstance(reply.answer, News) and reply.answer.exit_code == 0:
            run.run.summary_file.write_text(json.dumps({"status": "finished"}))
        return ScriptedRay.get(scripted, reply)

    def sleep(seconds: float) -> None:
        scripted.clock += 2

    scripted.get = get  # type: ignore[method-assign]
    scripted.answers["news"] = answers
    executor = RayExecutor(RayOptions(lost_retries=2), scripted.outside)
    (entry,) = Driver([run], executor, SweepWatcher(), retries=1, sleep=sleep).run()
    assert (entry.state, entry.attempts) == (state, attempts)

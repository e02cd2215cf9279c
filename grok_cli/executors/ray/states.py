"""The life of a job in a Ray cluster: one table.

On storage that all nodes share the worker trains in the run's own directory and claims it. Else it
trains a copy, which comes back bit by bit, and this process holds the claim meanwhile.
"""

import signal
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from grok_cli.errors import GrokError
from grok_cli.executors.base import Change, Job, Told, changes_of
from grok_cli.executors.ray.actor import News, Node
from grok_cli.executors.ray.cluster import Outside
from grok_cli.executors.ray.mirror import Stamps, seed_files, write_parcel
from grok_cli.executors.ray.options import RayOptions
from grok_cli.runs.claim import EXPIRES, Claim, ClaimedError
from grok_cli.runs.directory import RunDir
from grok_cli.version import __version__

NEWS_SECONDS = 1.0  # between questions to an actor
CLAIM_SECONDS = EXPIRES + 10.0  # after which a lost worker's claim is not its own any more


class State(Enum):
    """Where a job stands."""

    WAITING = "until Ray has few others to find a node for"
    SEEKING = "an actor waits for a node"
    STARTING = "the actor has a node, and starts a worker there"
    TRAINING = "the worker trains; the actor is asked for news of it"
    LOST = "worker or node is lost; given to Ray again once the worker's claim is gone"
    ENDED = "told of"


class Event(Enum):
    """What happens to a job."""

    GIVEN = "an actor was made for it"
    FOUND = "the actor has a node"
    STARTED = "the worker was started"
    LOST = "Ray does not reach the actor any more"
    FREED = "the lost worker is gone for sure"
    ENDED = "the worker ended, or another attempt would not help"
    DROPPED = "nobody wants it any more"


# From a state and an event to the next state and what is told. A worker counts as an attempt from
# "started" on, and "requeued" takes that back.
Moves = dict[Event, tuple[State, tuple[Told, ...]]]
_ENDS: Moves = {Event.ENDED: (State.ENDED, ("ended",)), Event.DROPPED: (State.ENDED, ())}
LIFE: dict[State, Moves] = {
    State.WAITING: {Event.GIVEN: (State.SEEKING, ()), **_ENDS},
    State.SEEKING: {
        Event.FOUND: (State.STARTING, ()),
        Event.LOST: (State.LOST, ("started", "requeued")),
        **_ENDS,
    },
    State.STARTING: {
        Event.STARTED: (State.TRAINING, ("started",)),
        Event.LOST: (State.LOST, ("started", "requeued")),
        **_ENDS,
    },
    State.TRAINING: {Event.LOST: (State.LOST, ("requeued",)), **_ENDS},
    State.LOST: {Event.FREED: (State.WAITING, ()), **_ENDS},
}


class RemoteJob:
    """A job that is trained in a Ray cluster.

    Attributes:
        reply: Ray's reference to the answer that is awaited, if one is.
        lost: why Ray did not reach the last actor any more. Its worker may still be about to save.
        farewell: Ray's reference to the actor's last call, once the worker has ended.
    """

    def __init__(self, job: Job, options: RayOptions, outside: Outside) -> None:
        self.job, self.state, self.reply, self.lost = job, State.WAITING, None, ""
        self.farewell: Any = None
        self._since = 0.0  # when something was last asked of the actor, or it was lost
        self._options, self._outside = options, outside
        self._actor: Any = None
        self._claim: Claim | None = None

    def give(self, actor: Any) -> None:
        """Have an actor train it.

        Args:
            actor: Ray's handle of a `WorkerActor`; it may still wait for a node.
        """
        self._actor, self._told_to_stop = actor, False
        self._seen: Stamps = {}
        self._log_bytes = 0  # of this worker's log that are here
        self._enter(Event.GIVEN)
        self._expect(actor.node.remote())

    def advance(self, answered: bool, stopping: bool) -> list[Change]:
        """Go on.

        Args:
            answered: the reply is there.
            stopping: the worker is to save and stop, and is not replaced if it is lost.
        """
        if answered:
            return self._take(stopping)
        if self.state is State.TRAINING and self.reply is None:
            late = self._outside.now() - self._since > NEWS_SECONDS
            if late or stopping != self._told_to_stop:
                self._ask(stopping)
        return []

    def is_free(self) -> bool:
        """Whether the worker of a lost job is gone for sure: on shared storage it may still save,
        or its claim has yet to expire."""
        late = self._outside.now() - self._since > CLAIM_SECONDS
        return late or self.job.run.owner() is None

    def recall(self) -> None:
        """Have a lost job wait for another actor."""
        self._enter(Event.FREED)

    def drop(self) -> None:
        """End the worker now, and tell nothing."""
        self._enter(Event.DROPPED)

    def fail(self, reason: str) -> list[Change]:
        """End it, since another attempt would not help."""
        return self._enter(Event.ENDED, None, reason)

    def _enter(self, event: Event, exit_code: int | None = None, reason: str = "") -> list[Change]:
        """Go to the state that the event leads to; returns what is to be told."""
        self.state, told = LIFE[self.state][event]
        if self.state in (State.LOST, State.ENDED):
            self._let_go()
        return changes_of(self.job, told, exit_code, reason)

    def _let_go(self) -> None:
        """End the actor, and the claim of this side."""
        self.reply, actor, self._actor = None, self._actor, None
        if self._claim is not None:
            self._claim.__exit__(None, None, None)
            self._claim = None
        if actor is not None:
            self._outside.ray.kill(actor)

    def _expect(self, reply: Any) -> None:
        self.reply, self._since = reply, self._outside.now()

    def _take(self, stopping: bool) -> list[Change]:
        """Read the answer, or what went wrong instead."""
        reply, self.reply = self.reply, None
        handle: dict[State, Callable[[Any], list[Change]]] = {
            State.SEEKING: self._found,
            State.STARTING: self._started,
            State.TRAINING: self._heard,
        }
        training = self.state is State.TRAINING
        try:
            return handle[self.state](self._outside.ray.get(reply))
        except ActorDiedError as error:
            if error.actor_init_failed:
                return self.fail(_why_not_started(error))
            return self._lose(error, stopping)
        except RayTaskError as error:  # of the actor's methods
            return self.fail(_brief(error.cause))
        except ClaimedError as error:  # as a worker that is turned away
            return self._enter(Event.ENDED, 1, str(error))
        except (GrokError, OSError, ValueError) as error:
            return self.fail(_brief(error))
        except RayError as error:
            if training:  # a gap in the network, say: it is asked again
                return []
            if isinstance(error, ActorUnavailableError):
                return self._lose(error, stopping)
            return self.fail(_brief(error))

    def _found(self, node: Node) -> list[Change]:
        """Ray has found a node: begin there."""
        if node.version != __version__:
            raise GrokError(
                f"{node.host} has grok_cli {node.version}, and this is {__version__}; install "
                "one version everywhere"
            )
        seed, job = None, replace(self.job, run=RunDir(self.job.run.path.absolute()))
        if self._options.storage == "driver":
            claim = Claim(self.job.run.path)
            claim.__enter__()
            self._claim = claim
            seed = seed_files(self.job.run.path)
        self._expect(self._actor.start.remote(job, self._options.cpus, seed))
        return self._enter(Event.FOUND)

    def _started(self, stamps: Stamps) -> list[Change]:
        self._seen = stamps
        self._ask(stopping=False)
        return self._enter(Event.STARTED)

    def _ask(self, stopping: bool) -> None:
        self._told_to_stop = stopping
        self._expect(self._actor.news.remote(self._seen, self._log_bytes, stopping))

    def _heard(self, news: News) -> list[Change]:
        """Write what has come."""
        if self._claim is not None and not self._claim.is_mine():
            raise GrokError("another process took this run over")
        if news.log:
            with self.job.run.log_file.open("ab") as log:
                log.write(news.log)
            self._log_bytes += len(news.log)
        if news.parcel is not None:
            self._seen |= write_parcel(self.job.run.path, news.parcel)
            if not news.parcel.complete:
                self._ask(self._told_to_stop)
                return []
        if news.exit_code is None:
            return []
        self.farewell, self._actor = self._actor.clean.remote(), None  # it ends by itself
        return self._enter(Event.ENDED, news.exit_code)

    def _lose(self, error: RayError, stopping: bool) -> list[Change]:
        """The actor is gone, or cannot be reached and so is to go."""
        self.lost = f"its Ray worker or node was lost: {_brief(error)}"
        self._since = self._outside.now()
        if stopping:
            return self._enter(Event.ENDED, -int(signal.SIGKILL), self.lost)
        return self._enter(Event.LOST, reason=self.lost)


def _why_not_started(error: RayError) -> str:
    reason = _brief(error)
    missing = "No module named 'grok_cli" in reason
    return f"cannot start a worker: {reason}" + (
        f"; install grok_cli {__version__} on every node" if missing else ""
    )


def _brief(error: BaseException | str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

"""A run in a Ray cluster, as this side sees it: an actor that is asked for news of its worker.

On storage that all nodes share the worker trains in the run's own directory and claims it. Else it
trains a copy, which comes back bit by bit, and this process holds the claim meanwhile.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from grok_cli import __version__
from grok_cli.errors import GrokError
from grok_cli.executors.base import Change, Job
from grok_cli.executors.ray.mirror import Stamps, seed_files, write_batch
from grok_cli.executors.ray.worker import News, Place
from grok_cli.runs.claim import Claim, ClaimedError
from grok_cli.runs.directory import RunDir

NEWS_SECONDS = 1.0  # between questions to a worker


class RemoteRun:
    """A job that was given to Ray.

    Attributes:
        reply: Ray's reference to the answer that is awaited, if one is.
        over: there is nothing more to come.
        lost: why Ray does not reach the worker any more; "" if it does. The worker may still be
            about to save.
        farewell: Ray's reference to the actor's last call, once the worker has ended.
    """

    def __init__(self, job: Job, actor: Any, threads: int, brought_back: bool) -> None:
        """
        Args:
            actor: Ray's handle of a `RayWorker`; it may still wait for a node.
            brought_back: a copy is trained and brought back here.
        """
        self.job, self.over, self.lost, self.farewell = job, False, "", None
        self._actor, self._threads, self._brought_back = actor, threads, brought_back
        self._seen: Stamps = {}
        self._log_bytes = 0  # of this worker's log that are here
        self._told_to_stop = False
        self._claim: Claim | None = None
        self._expect(actor.place.remote(), self._placed)

    def is_placing(self) -> bool:
        """Ray looks for a node."""
        return self._handle == self._placed and not self.over

    def advance(self, answered: bool, stopping: bool) -> list[Change]:
        """Go on.

        Args:
            answered: the reply is there.
            stopping: the worker is to save and stop.
        """
        if answered:
            return self._take()
        late = time.monotonic() - self._asked > NEWS_SECONDS
        if self.reply is None and (late or stopping != self._told_to_stop):
            self._ask(stopping)
        return []

    def drop(self) -> None:
        """End the worker now."""
        self.over = True
        self._release()
        ray.kill(self._actor)

    def _expect(self, reply: Any, handle: Callable[[Any], list[Change]]) -> None:
        self.reply, self._handle, self._asked = reply, handle, time.monotonic()

    def _take(self) -> list[Change]:
        """Read the answer, or what went wrong instead."""
        reply, self.reply = self.reply, None
        try:
            return self._handle(ray.get(reply))
        except ActorDiedError as error:
            if error.actor_init_failed:
                return self._fail(_why_not_started(error))
            return self._lose(error)
        except RayTaskError as error:  # of the actor's methods
            return self._fail(_brief(error.cause))
        except ClaimedError as error:  # as a worker that is turned away
            self.drop()
            return self._end(1, str(error))
        except (GrokError, OSError, ValueError) as error:
            return self._fail(_brief(error))
        except ActorUnavailableError as error:
            if self._handle == self._heard:  # a gap in the network, say: it is asked again
                return []
            return self._lose(error)
        except RayError as error:
            return [] if self._handle == self._heard else self._fail(_brief(error))

    def _placed(self, place: Place) -> list[Change]:
        """Ray has found a node: begin there."""
        if place.version != __version__:
            raise GrokError(
                f"{place.host} has grok-cli {place.version}, and this is {__version__}; install "
                "one version everywhere"
            )
        seed, job = None, replace(self.job, run=RunDir(self.job.run.path.absolute()))
        if self._brought_back:
            self._hold()
            seed = seed_files(self.job.run.path)
        self._expect(self._actor.start.remote(job, self._threads, seed), self._started)
        return []

    def _started(self, stamps: Stamps) -> list[Change]:
        self._seen = stamps
        self._ask(stopping=False)
        return [Change(self.job, "started")]

    def _ask(self, stopping: bool) -> None:
        self._told_to_stop = stopping
        reply = self._actor.news.remote(self._seen, self._log_bytes, stopping)
        self._expect(reply, self._heard)

    def _heard(self, news: News) -> list[Change]:
        """Write what has come."""
        if self._claim is not None and not self._claim.is_mine():
            raise GrokError("another process took this run over")
        if news.log:
            with self.job.run.log_file.open("ab") as log:
                log.write(news.log)
            self._log_bytes += len(news.log)
        if news.batch is not None:
            self._seen |= write_batch(self.job.run.path, news.batch)
            if not news.batch.complete:
                self._ask(self._told_to_stop)
                return []
        if news.exit_code is None:
            return []
        self.farewell = self._actor.clean.remote()
        return self._end(news.exit_code)

    def _hold(self) -> None:
        """Claim the directory of this side, or raise ClaimedError."""
        claim = Claim(self.job.run.path)
        claim.__enter__()
        self._claim = claim

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.__exit__(None, None, None)
            self._claim = None

    def _end(self, exit_code: int | None, reason: str = "") -> list[Change]:
        """Let go of the actor, with which it ends."""
        self.over = True
        self._release()
        self._actor = None
        return [Change(self.job, "ended", exit_code, reason)]

    def _fail(self, reason: str) -> list[Change]:
        """End a run that another attempt would not help."""
        self.drop()
        return self._end(None, reason)

    def _lose(self, error: RayError) -> list[Change]:
        """The actor is gone, or cannot be reached and so is to go."""
        self.lost = f"its Ray worker or node was lost: {_brief(error)}"
        started = [] if self._handle == self._heard else [Change(self.job, "started")]
        self.drop()
        return started


def _why_not_started(error: RayError) -> str:
    reason = _brief(error)
    missing = "No module named 'grok_cli" in reason
    return f"cannot start a worker: {reason}" + (
        f"; install grok-cli {__version__} on every node" if missing else ""
    )


def _brief(error: BaseException | str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

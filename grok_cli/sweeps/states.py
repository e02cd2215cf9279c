"""The states of a run while a sweep is driven, and what leads from one to another.

waiting      to be handed to the executor
queued       handed over; its worker has not started
running      a worker of this sweep trains it
elsewhere    another process trains it
finished, diverged, failed, interrupted    the ends
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from grok_cli.sweeps.plan import PlannedRun

State = Literal[
    "waiting",
    "queued",
    "running",
    "elsewhere",
    "finished",
    "diverged",
    "failed",
    "interrupted",
]
Event = Literal[
    "handed over",  # to the executor
    "started",  # its worker
    "claimed",  # by another process
    "given back",  # by the executor, or by the other process that left it
    "finished",
    "diverged",
    "failed",
    "stopped",
]
ENDS: tuple[State, ...] = ("finished", "diverged", "failed", "interrupted")
# open: waited for until the sweep is stopped
OPEN: tuple[State, ...] = ("waiting", "queued", "running", "elsewhere")
# From each state that is open; an end is left no more, whatever is told afterwards.
_FROM_OPEN: dict[Event, State] = {
    "handed over": "queued",
    "started": "running",
    "claimed": "elsewhere",
    "given back": "waiting",
    "finished": "finished",
    "diverged": "diverged",
    "failed": "failed",
    "stopped": "interrupted",
}
TRANSITIONS: dict[State, dict[Event, State]] = {
    **{state: dict(_FROM_OPEN) for state in OPEN},
    # Executors tell late: what is queued may have started before its worker was seen.
    "running": _FROM_OPEN | {"handed over": "running"},
    **{state: dict.fromkeys(_FROM_OPEN, state) for state in ENDS},
}


@dataclass
class Entry:
    """A run of a sweep while it is driven.

    Attributes:
        state: see above; `enter` changes it.
        summary: the run's summary when it was last read.
        attempts: workers that were started for it, without those whose machine was taken away.
        reason: why it failed or diverged.
    """

    planned: PlannedRun
    state: State = "waiting"
    summary: dict[str, Any] = field(default_factory=lambda: {"status": "new"})
    attempts: int = 0
    reason: str = ""

    def enter(self, event: Event) -> None:
        """Go to the state that the event leads to."""
        self.state = TRANSITIONS[self.state][event]

    def ended(self) -> bool:
        return self.state in ENDS

"""The bound on a utility's DR events that wait to be planned.

Each utility has a bound of its own, so that none is refused for what others have requested.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from interfaces.web.problems import try_again
from projections.queries.views import PlanningQueue

CACHED_S = 1.0
"""Wall seconds for which a count is used, together with what this process accepted since."""
MAX_ENTRIES = 1_000
RETRY_AFTER_S = 5.0


@dataclass
class PlanningQueueLimit:
    """Counted in the read model, whose small delay is acceptable for overload protection. Used by several threads."""

    queue: Callable[..., PlanningQueue]
    """`ReadModels.planning_queue`."""
    most_due: int
    most_waiting: int
    monotonic: Callable[[], float] = time.monotonic
    _counted: dict[str, tuple[float, PlanningQueue]] = field(default_factory=dict)
    """Utility -> until when its count is used, and the count."""
    _accepted: dict[str, int] = field(default_factory=dict)
    """Utility -> what was accepted since."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, utility_id: str) -> None:
        """Raises the problem `queue-full`; always on a count of now."""
        now = self.monotonic()
        with self._lock:
            until, counted = self._counted.get(utility_id, (0.0, PlanningQueue(0, 0)))
            accepted = self._accepted.get(utility_id, 0)
        if now < until and self._excess(counted, accepted) is None:
            return
        counted = self.queue(tenant=utility_id, limit=max(self.most_due, self.most_waiting))
        with self._lock:
            if len(self._counted) >= MAX_ENTRIES:
                self._counted.clear()
                self._accepted.clear()
            self._counted[utility_id] = now + CACHED_S, counted
            self._accepted[utility_id] = 0
        excess = self._excess(counted, 0)
        if excess is not None:
            raise try_again("queue-full", excess, retry_after_s=RETRY_AFTER_S)

    def note_accepted(self, utility_id: str) -> None:
        with self._lock:
            self._accepted[utility_id] = self._accepted.get(utility_id, 0) + 1

    def _excess(self, counted: PlanningQueue, accepted: int) -> str | None:
        """What is full, if anything is."""
        if counted.due + accepted >= self.most_due:
            return f"{counted.due} of your DR events are due to be planned, at most {self.most_due} may be"
        if counted.waiting + accepted >= self.most_waiting:
            most = f"at most {self.most_waiting} may; cancel some, or wait"
            return f"{counted.waiting} of your DR events wait to be planned, {most}"
        return None

"""The bound on a utility's DR events that wait to be planned.

Each utility has a bound of its own, so that none is refused for what others have requested.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from application.bounded_cache import BoundedCache
from interfaces.web.problems import try_again
from projections.queries.views import PlanningQueue

CACHED_S = 1.0
"""Wall seconds for which a count is used, together with what this process accepted since."""
MAX_ENTRIES = 1_000
RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class _Count:
    queue: PlanningQueue
    accepted: int = 0
    """What this process accepted since."""


@dataclass
class PlanningQueueLimit:
    """Counted in the read model, whose small delay is acceptable for overload protection. Used by several threads."""

    queue: Callable[..., PlanningQueue]
    """`ReadModels.planning_queue`."""
    most_due: int
    most_waiting: int
    monotonic: Callable[[], float] = time.monotonic
    _counts: BoundedCache[str, _Count] = field(init=False)
    """By utility."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._counts = BoundedCache(
            "planning queues", max_size=MAX_ENTRIES, ttl_s=CACHED_S, monotonic=self.monotonic
        )

    def check(self, utility_id: str) -> None:
        """Raises the problem `queue-full`; always on a count of now."""
        count = self._counts.get(utility_id)
        if count is not None and self._excess(count) is None:
            return
        count = _Count(self.queue(tenant=utility_id, limit=max(self.most_due, self.most_waiting)))
        self._counts.put(utility_id, count)
        excess = self._excess(count)
        if excess is not None:
            raise try_again("queue-full", excess, retry_after_s=RETRY_AFTER_S)

    def note_accepted(self, utility_id: str) -> None:
        count = self._counts.get(utility_id)
        if count is not None:
            with self._lock:
                count.accepted += 1

    def _excess(self, count: _Count) -> str | None:
        """What is full, if anything is."""
        counted, accepted = count.queue, count.accepted
        if counted.due + accepted >= self.most_due:
            return f"{counted.due} of your DR events are due to be planned, at most {self.most_due} may be"
        if counted.waiting + accepted >= self.most_waiting:
            most = f"at most {self.most_waiting} may; cancel some, or wait"
            return f"{counted.waiting} of your DR events wait to be planned, {most}"
        return None

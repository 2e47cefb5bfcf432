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
"""Wall seconds for which a count is used, together with the places that were taken in this process since."""
MAX_ENTRIES = 1_000
RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class _Count:
    queue: PlanningQueue
    taken: int = 0
    """The places that this process gave away since."""


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

    def take_place(self, utility_id: str) -> None:
        """Raises the problem `queue-full`; always on a count of now. The place of a DR event that is not accepted is
        free again at the next count."""
        count = self._counts.get(utility_id)
        if count is not None and self._take(count) is None:
            return
        count = _Count(self.queue(tenant=utility_id, limit=max(self.most_due, self.most_waiting)))
        self._counts.put(utility_id, count)
        excess = self._take(count)
        if excess is not None:
            raise try_again("queue-full", excess, retry_after_s=RETRY_AFTER_S)

    def _take(self, count: _Count) -> str | None:
        """Takes a place, or says what is full."""
        with self._lock:
            excess = self._excess(count)
            if excess is None:
                count.taken += 1
            return excess

    def _excess(self, count: _Count) -> str | None:
        counted, taken = count.queue, count.taken
        if counted.due + taken >= self.most_due:
            return f"{counted.due} of your DR events are due to be planned, at most {self.most_due} may be"
        if counted.waiting + taken >= self.most_waiting:
            most = f"at most {self.most_waiting} may; cancel some, or wait"
            return f"{counted.waiting} of your DR events wait to be planned, {most}"
        return None

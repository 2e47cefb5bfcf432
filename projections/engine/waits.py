"""Port: wait until a read model has reached a position of the log (read your writes)."""

from typing import Protocol


class ReadModelBehind(Exception):
    """The read model did not reach the position in time; the write itself is recorded."""


class ProjectionWaits(Protocol):
    """Waits without polling (synchronous)."""

    def wait_for(self, projection: str, position: int, *, timeout_s: float) -> int:
        """The position reached, at least `position`. Wall seconds. Raises ReadModelBehind or
        ReadModelsUnavailable.
        """
        ...

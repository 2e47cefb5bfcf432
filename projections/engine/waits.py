"""Reading one's own writes: waiting until a read model has taken a position of the log into account."""

from typing import Protocol


class ReadModelBehind(Exception):
    """The read model did not reach the position in time; what was written is recorded all the same."""


class ProjectionWaits(Protocol):
    """Waits without polling (synchronous)."""

    def wait_for(self, projection: str, position: int, *, timeout_s: float) -> int:
        """The position reached, at least `position`. Wall seconds. Raises ReadModelBehind or ReadModelsUnavailable."""
        ...

"""Read models of a replica: they may be a moment behind, and say so."""

from typing import Literal, Protocol

import msgspec

from projections.views import ReadModels


class ReadSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where reads come from now."""

    name: Literal["replica", "primary"]
    lag_s: float
    """How far that is behind the primary at most, wall seconds, by the last look; 0 for the primary itself."""


class ReplicatedReadModels(ReadModels, Protocol):
    """Reads of the primary where the replica does not answer, or is too far behind."""

    @property
    def alone(self) -> ReadModels:
        """Of the replica, however far behind it is: for the time when the primary does not answer."""
        ...

    def source(self) -> ReadSource:
        """Without asking anybody."""
        ...

    def last_lag_s(self) -> float | None:
        """How far behind it was when it was looked at last, wall seconds; None where it did not answer then."""
        ...

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

    def source(self) -> ReadSource:
        """Without asking anybody."""
        ...

"""Port: rebuild and verification of read models, and their reports."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import AnyProjection
from projections.engine.stored_row import digest, stored_form

Progress = Callable[[int, int], None]
"""Called with (position, newest position)."""


class ProjectionsUnavailable(Exception):
    """The read models cannot be reached, or did not answer in time."""


class OldTransactionsOpen(ProjectionsUnavailable):
    """Transactions from before the new rows were attached did not end in time; the next rebuild continues
    from there.
    """


class RebuildUnderway(Exception):
    """Another process rebuilds that read model now."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a rebuild."""

    name: str
    position: int
    domain_events: int
    """The domain events that were folded: those that concern the read model."""
    rows: int = 0
    seconds: float = 0.0
    swap_ms: float = 0.0
    """The time during which the live projection waits, without the last catch-up."""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of the live rows with a fresh fold of the log up to the same position."""

    name: str
    position: int
    rows: int
    live_digest: str
    fresh_digest: str
    first_difference: str | None
    """The lowest key at which they differ, and how; None if they are equal."""

    @property
    def equal(self) -> bool:
        return self.first_difference is None


class ProjectionMaintenance(Protocol):
    """Rebuilds and verifies read models while they are live (synchronous)."""

    def rebuild(
        self, projection: AnyProjection, *, workers: int = 1, progress: Progress | None = None
    ) -> RebuildReport:
        """`workers`: processes to fold in. Raises FoldFailed (the live rows stay), RebuildUnderway or
        ProjectionsUnavailable.
        """
        ...

    def verify(self, projection: AnyProjection, *, progress: Progress | None = None) -> VerifyReport:
        """Raises FoldFailed or ProjectionsUnavailable."""
        ...


def compare_rows(
    projection: AnyProjection,
    position: int,
    live_version: int,
    stored: Mapping[str, bytes],
    fresh: MemoryRows[Any],
) -> VerifyReport:
    """Compare stored rows (key -> stored form) with those of a fresh fold."""
    folded = {key: stored_form(row) for key, row in fresh.by_key.items()}
    return VerifyReport(
        name=projection.name,
        position=position,
        rows=len(stored),
        live_digest=digest(stored.items()),
        fresh_digest=digest(folded.items()),
        first_difference=_first_difference(stored, folded)
        or _other_version(projection.version, live_version),
    )


def _other_version(expected: int, actual: int) -> str | None:
    return None if expected == actual else f"made by version {actual} of the projection, not {expected}"


def _first_difference(stored: Mapping[str, bytes], folded: Mapping[str, bytes]) -> str | None:
    for key in sorted(stored.keys() | folded.keys()):
        if key not in stored:
            return f"{key}: missing in the live rows"
        if key not in folded:
            return f"{key}: not in the log's fold"
        if stored[key] != folded[key]:
            return f"{key}: {_differing_fields(stored[key], folded[key])}"
    return None


def _differing_fields(live: bytes, fresh: bytes) -> str:
    live_fields, fresh_fields = msgspec.json.decode(live), msgspec.json.decode(fresh)
    names = sorted(
        name
        for name in live_fields.keys() | fresh_fields.keys()
        if live_fields.get(name) != fresh_fields.get(name)
    )
    first = names[0] if names else "?"
    return f"{first} is {live_fields.get(first)!r} live and {fresh_fields.get(first)!r} by the log"

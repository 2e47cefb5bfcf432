"""The journal of the simulated buildings: one line per executed action, independent of any deduplication."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

Action = Literal["prepare", "commit", "abort", "restore", "expired", "overridden"]
Violation = Literal["comfort_limit", "minimum_off_time", "longest_curtailment"]
COMMANDED: frozenset[str] = frozenset({"prepare", "commit", "abort", "restore"})


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An action that was carried out on one zone."""

    at: datetime
    """Clock time."""
    facility_id: str
    zone_id: str
    action: Action
    dr_event_id: UUID | None = None
    plan_revision: int = 0
    round: int = 0
    command_id: UUID | None = None
    shed_kw: float
    """What the zone sheds from now on."""
    shed_change_kw: float
    """By how much this action changed that."""
    setpoint: float
    curtailed: bool
    """Whether the zone is curtailed from now on."""
    violations: tuple[Violation, ...] = ()
    """Limits of the zone that the action violated."""


class ActionKey(NamedTuple):
    """The key of an action that may happen once only: phase of a plan revision and round, on a zone, for a DR event."""

    dr_event_id: UUID
    facility_id: str
    zone_id: str
    action: str
    plan_revision: int
    round: int


def duplicate_actions(entries: Iterable[JournalEntry]) -> dict[ActionKey, int]:
    """The commanded actions carried out more than once, with their count."""
    counts = Counter(
        ActionKey(
            entry.dr_event_id,
            entry.facility_id,
            entry.zone_id,
            entry.action,
            entry.plan_revision,
            entry.round,
        )
        for entry in entries
        if entry.action in COMMANDED and entry.dr_event_id is not None
    )
    return {key: count for key, count in counts.items() if count > 1}


def curtailed_zones(entries: Iterable[JournalEntry], at: datetime) -> set[tuple[str, str]]:
    """The (facility_id, zone_id) that are curtailed at `at`."""
    curtailed: dict[tuple[str, str], bool] = {}
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.at <= at:
            curtailed[entry.facility_id, entry.zone_id] = entry.curtailed
    return {zone for zone, is_curtailed in curtailed.items() if is_curtailed}

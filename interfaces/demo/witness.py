"""What the world saw: counted from the journals of the simulated buildings and the utility, not from our log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from interfaces.simulators.bms.journal import JournalEntry, curtailed_zones, duplicate_actions


class Witnessed(msgspec.Struct, frozen=True, kw_only=True):
    """What the buildings did for one DR event."""

    committed: frozenset[str]
    """Facilities that carried out at least one commit."""
    restored: frozenset[str]
    """Those whose every committed zone was restored by command."""
    duplicates: dict[str, int]
    """Actions carried out more than once, with their count."""
    curtailed_after_end: frozenset[str]
    """Zones (`facility/zone`) still curtailed when all was over."""
    let_go: frozenset[str]
    """Zones that restored themselves because nobody restored them."""


def witnessed(
    entries: list[JournalEntry], dr_event_id: UUID, *, at: datetime, over_at: datetime
) -> Witnessed:
    """What the journal says of `dr_event_id` up to `at`; all should have been over at `over_at`."""
    mine = [entry for entry in entries if entry.dr_event_id == dr_event_id and entry.at <= at]
    committed = {(e.facility_id, e.zone_id) for e in mine if e.action == "commit"}
    restored = {(e.facility_id, e.zone_id) for e in mine if e.action == "restore"}
    facilities = frozenset(facility for facility, _ in committed)
    unrestored = {facility for facility, _ in committed - restored}
    return Witnessed(
        committed=facilities,
        restored=facilities - unrestored,
        duplicates={
            f"{key.action} of {key.facility_id}/{key.zone_id} round {key.round}": count
            for key, count in duplicate_actions(mine).items()
        },
        curtailed_after_end=frozenset(f"{f}/{z}" for f, z in _left_curtailed(entries, over_at, at)),
        let_go=frozenset(
            f"{e.facility_id}/{e.zone_id}" for e in entries if e.action == "expired" and e.at <= at
        ),
    )


def _left_curtailed(entries: list[JournalEntry], over_at: datetime, at: datetime) -> set[tuple[str, str]]:
    """Curtailed when all should have been over, or at `at`; late is not left, but only a command lets go."""
    let_go_late = {
        (e.facility_id, e.zone_id) for e in entries if e.action == "restore" and over_at < e.at <= at
    }
    return (curtailed_zones(entries, over_at) - let_go_late) | curtailed_zones(entries, at)


def unintended(entries: list[JournalEntry], attempts: dict[UUID, datetime]) -> list[str]:
    """Commanded actions without an attempt recorded before them: (command id -> first attempt) from our log."""
    found = []
    for entry in entries:
        if entry.command_id is None or entry.dr_event_id is None or entry.action == "expired":
            continue
        attempted_at = attempts.get(entry.command_id)
        if attempted_at is None or attempted_at > entry.at:
            found.append(f"{entry.action} of {entry.facility_id}/{entry.zone_id}")
    return found

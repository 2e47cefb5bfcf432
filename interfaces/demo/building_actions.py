"""Counts what the simulated buildings did, from their own journal, independent of the event log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from interfaces.simulators.bms.journal import JournalEntry, curtailed_zones, duplicate_actions


class BuildingActions(msgspec.Struct, frozen=True, kw_only=True):
    """The buildings' actions for one DR event."""

    committed: frozenset[str]
    """Facilities that carried out at least one commit."""
    restored: frozenset[str]
    """Facilities whose committed zones were all restored by command."""
    duplicates: dict[str, int]
    """Actions that were carried out more than once, with their count."""
    curtailed_after_end: frozenset[str]
    """Zones (`facility/zone`) still curtailed after the end."""
    expired: frozenset[str]
    """Zones that restored themselves because no restore command came."""


def building_actions(
    entries: list[JournalEntry], dr_event_id: UUID, *, at: datetime, over_at: datetime
) -> BuildingActions:
    """The actions of `dr_event_id` up to `at`. Every zone should be restored at `over_at`."""
    of_dr_event = [entry for entry in entries if entry.dr_event_id == dr_event_id and entry.at <= at]
    committed = {(e.facility_id, e.zone_id) for e in of_dr_event if e.action == "commit"}
    restored = {(e.facility_id, e.zone_id) for e in of_dr_event if e.action == "restore"}
    facilities = frozenset(facility for facility, _ in committed)
    unrestored = {facility for facility, _ in committed - restored}
    return BuildingActions(
        committed=facilities,
        restored=facilities - unrestored,
        duplicates={
            f"{key.action} of {key.facility_id}/{key.zone_id} round {key.round}": count
            for key, count in duplicate_actions(of_dr_event).items()
        },
        curtailed_after_end=frozenset(f"{f}/{z}" for f, z in _zones_left_curtailed(entries, over_at, at)),
        expired=frozenset(
            f"{e.facility_id}/{e.zone_id}" for e in entries if e.action == "expired" and e.at <= at
        ),
    )


def _zones_left_curtailed(
    entries: list[JournalEntry], over_at: datetime, at: datetime
) -> set[tuple[str, str]]:
    """Zones curtailed at `at`, or at `over_at` and not restored by a command until `at`."""
    restored_late = {
        (e.facility_id, e.zone_id) for e in entries if e.action == "restore" and over_at < e.at <= at
    }
    return (curtailed_zones(entries, over_at) - restored_late) | curtailed_zones(entries, at)


def actions_without_intent(entries: list[JournalEntry], attempts: dict[UUID, datetime]) -> list[str]:
    """Commanded actions without an earlier attempt in the log. `attempts`: command id -> first attempt."""
    without_intent = []
    for entry in entries:
        if entry.command_id is None or entry.dr_event_id is None or entry.action == "expired":
            continue
        attempted_at = attempts.get(entry.command_id)
        if attempted_at is None or attempted_at > entry.at:
            without_intent.append(f"{entry.action} of {entry.facility_id}/{entry.zone_id}")
    return without_intent

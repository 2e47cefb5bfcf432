"""Totals of each group of facilities, from their rows; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from math import fsum

import msgspec

from projections.facility import FacilityRow


class GroupTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The facilities with one label. A facility counts in each of its groups. The sums are those of the portfolio."""

    group: str
    facilities: int
    active_facilities: int
    facilities_in_maintenance: int
    deactivated_facilities: int
    reserved_facilities: int
    """Active ones with a reservation, current or future."""
    declared_kw: float
    """Curtailable, of those that are not deactivated."""
    available_kw: float
    """The part of it that is active, not reserved, not opted out of every DR event and not awaiting a restore."""
    reserved_kw: float


def group_totals(rows: Iterable[FacilityRow]) -> tuple[GroupTotals, ...]:
    """By the name of the group."""
    members: defaultdict[str, list[FacilityRow]] = defaultdict(list)
    for row in rows:
        for group in row.groups:
            members[group].append(row)
    return tuple(_totals(group, members[group]) for group in sorted(members))


def _totals(group: str, rows: Collection[FacilityRow]) -> GroupTotals:
    active = [row for row in rows if row.status == "active"]
    reserved = [row for row in active if row.reservations]
    free = [row for row in active if not (row.reservations or row.opted_out or row.awaits_restore)]
    return GroupTotals(
        group=group,
        facilities=len(rows),
        active_facilities=len(active),
        facilities_in_maintenance=sum(row.status == "maintenance" for row in rows),
        deactivated_facilities=sum(row.status == "deactivated" for row in rows),
        reserved_facilities=len(reserved),
        declared_kw=_kw(row for row in rows if row.status != "deactivated"),
        available_kw=_kw(free),
        reserved_kw=_kw(reserved),
    )


def _kw(rows: Iterable[FacilityRow]) -> float:
    return round(fsum(row.curtailable_kw for row in rows), 3)

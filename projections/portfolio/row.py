"""The rows of the read model `portfolio`: one visible row, and the internal rows behind its sums.

Sums are in whole watts, so that adding and subtracting never drifts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec.structs import asdict, replace

from domain.facility import FacilityStatus

Standing = Literal["blocked", "at_risk", "dropped_out"]
"""Of a facility in a DR event. `at_risk`: it takes part on a degraded forecast, and is not curtailed yet."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities of a DR event are in which standing."""

    blocked: int = 0
    at_risk: int = 0
    dropped_out: int = 0


class PortfolioRow(msgspec.Struct, frozen=True, kw_only=True, tag="portfolio"):
    """The whole portfolio as recorded so far."""

    registered_facilities: int = 0
    active_facilities: int = 0
    facilities_in_maintenance: int = 0
    deactivated_facilities: int = 0
    reserved_facilities: int = 0
    """Active ones with a reservation, now or in the future."""
    declared_kw: float = 0.0
    """Curtailable power of all facilities that are not deactivated."""
    available_kw: float = 0.0
    """The part of it that is active, not reserved and not withheld."""
    reserved_kw: float = 0.0
    withheld_facilities: int = 0
    """Active ones without a reservation that opted out of every DR event, or wait for a restore."""
    withheld_kw: float = 0.0
    committed_kw: float = 0.0
    """Targets of dispatches whose buildings are curtailed now."""
    delivering_kw: float = 0.0
    """What the meters last showed of those, if verified by meter."""
    open_dr_events: int = 0
    """Accepted, and not yet completed or cancelled."""
    active_dr_events: int = 0
    """DR events whose window has begun and not ended."""
    blocked_facilities: int = 0
    """Over all open DR events: facilities whose dispatch is blocked by its forecast."""
    at_risk_facilities: int = 0
    dropped_out_facilities: int = 0
    """They failed or left, and their DR event runs on."""
    readiness: dict[str, Readiness] = {}
    """Open DR event -> its counts, where one is not 0; at most MOST_LISTED."""
    last_measured_dr_event: UUID | None = None
    last_delivered_kw: float | None = None
    changed_at: datetime | None = None


class FacilityShare(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """A facility's part in the sums."""

    stream_id: UUID
    status: FacilityStatus
    zones_kw: dict[str, float] = {}
    reservations: tuple[UUID, ...] = ()
    opted_out: bool = False
    """Of every DR event. An opt-out of a single one does not count here."""
    not_restored_from: tuple[UUID, ...] = ()

    @property
    def withheld(self) -> bool:
        return self.opted_out or bool(self.not_restored_from)

    @property
    def declared_kw(self) -> float:
        return sum(map(watts, self.zones_kw.values())) / 1000


class DispatchShare(msgspec.Struct, frozen=True, kw_only=True, tag="dispatch"):
    """A dispatch's part in the sums, until its restore begins."""

    dispatch_id: UUID
    target_kw: float
    committed: bool = False
    delivering_kw: float = 0.0


class DREventStandings(msgspec.Struct, frozen=True, kw_only=True, tag="standings"):
    """The facilities of one planned DR event that are not simply ready, until its window ends."""

    dr_event_id: UUID
    facilities: dict[str, Standing] = {}

    @property
    def counts(self) -> Readiness:
        found = Counter(self.facilities.values())
        return Readiness(blocked=found["blocked"], at_risk=found["at_risk"], dropped_out=found["dropped_out"])


PortfolioRows = PortfolioRow | FacilityShare | DispatchShare | DREventStandings


def watts(kw: float) -> int:
    return round(kw * 1000)


def sum_kw(first_kw: float, second_kw: float) -> float:
    return (watts(first_kw) + watts(second_kw)) / 1000


_BESIDE_SUMS = ("readiness", "last_measured_dr_event", "last_delivered_kw", "changed_at")


def share_key(number: int) -> str:
    """The key of the row of sums of part `number`, while a rebuild folds."""
    return f"share:{number}"


def total(shares: Sequence[tuple[PortfolioRow, int]]) -> tuple[PortfolioRow, int] | None:
    """The row of all, with the position of its last change, from (row, position) of each part that has any."""
    if not shares:
        return None
    rows = [row for row, _ in shares]
    last, position = max(shares, key=lambda share: share[1])
    listed = next((row for row in rows if row.readiness), last)
    measured = next((row for row in rows if row.last_measured_dr_event is not None), last)
    whole = replace(
        PortfolioRow(),
        **_sums(rows),
        readiness=listed.readiness,
        last_measured_dr_event=measured.last_measured_dr_event,
        last_delivered_kw=measured.last_delivered_kw,
        changed_at=last.changed_at,
    )
    return whole, position


def _sums(rows: Sequence[PortfolioRow]) -> Mapping[str, Any]:
    sums: dict[str, Any] = {}
    for row in rows:
        for name, value in asdict(row).items():
            if name in _BESIDE_SUMS:
                continue
            before = sums.get(name)
            if before is None:
                sums[name] = value
            else:
                sums[name] = sum_kw(before, value) if isinstance(value, float) else before + value
    return sums

"""ForecastMonitor: states an alert for each facility whose forecast is degraded shortly before its DR event, and has
blocked dispatches judged again.

It runs in the watch worker and not in the compute worker, so that it also reports forecasts that are no longer
issued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from uuid import UUID

from application.forecast.degraded_alert import AHEAD, DEGRADED, RequestedFacility, degraded_facilities
from application.ports.clock import Clock
from application.ports.forecast.forecast_book import ForecastBook
from application.ports.operations.alerts import AlertRegistry
from domain.dr_event import DREventStatus
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.watch.blocked_dispatch_review import BlockedDispatchReview
from projections.dispatch.projection import key_of as dispatch_key
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow, key_of
from projections.queries.views import View, all_rows

CHECK_EVERY_S = 30.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
OBSERVER = "forecast monitor"
OPEN: tuple[DREventStatus, ...] = ("accepted", "scheduled", "preparing", "active")
NOTHING_BLOCKED: Mapping[tuple[UUID, str], str] = MappingProxyType({})


@dataclass(frozen=True)
class ForecastMonitor:
    """One is active per system. When it ends, another process takes over."""

    dr_events: View[DREventRow]
    facilities: View[FacilityRow]
    review: BlockedDispatchReview
    book: ForecastBook
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "forecast monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock="forecast-watch",
        )

    def check(self) -> None:
        now = self.clock.now()
        blocked = self.review.blocked()
        blocked_by = {(row.dr_event_id, row.facility_id): row.data_quality for row in blocked}
        facilities = [
            one for row in open_dr_events(self.dr_events) for one in facilities_of(row, now, blocked_by)
        ]
        known = self.alerts.stated(DEGRADED, observer=OBSERVER)
        degraded = degraded_facilities(facilities, self.book, known, serving=self._serving, now=now)
        self.alerts.state(DEGRADED, degraded, observer=OBSERVER, at=now)
        self.review.propose(blocked)

    def _serving(self, requested: Sequence[RequestedFacility]) -> list[RequestedFacility]:
        """Those that still take part, and whose forecasts no operator has accepted."""
        taking_part = those_taking_part(self.facilities, requested)
        keys = {one: dispatch_key(one.dr_event_id, one.facility_id) for one in taking_part}
        dispatches = self.review.dispatches.by_key(keys.values()) if keys else {}
        accepted = {key for key, row in dispatches.items() if row.override_reason is not None}
        return [one for one in taking_part if keys[one] not in accepted]


def open_dr_events(dr_events: View[DREventRow]) -> Iterator[DREventRow]:
    """The DR events that are not over."""
    for status in OPEN:
        yield from all_rows(dr_events, status=status)


def those_taking_part(
    facilities: View[FacilityRow], requested: Sequence[RequestedFacility]
) -> list[RequestedFacility]:
    """Those that still take part: a facility may have been pre-empted, or have opted out."""
    keys = {key_of(one.facility_id) for one in requested}
    rows = facilities.by_key(keys) if keys else {}
    return [one for one in requested if _takes_part(rows.get(key_of(one.facility_id)), one)]


def _takes_part(row: FacilityRow | None, requested: RequestedFacility) -> bool:
    if row is None or row.opted_out or requested.dr_event_id in row.opted_out_of:
        return False
    return any(reservation.dr_event_id == requested.dr_event_id for reservation in row.reservations)


def facilities_of(
    row: DREventRow, now: datetime, blocked_by: Mapping[tuple[UUID, str], str] = NOTHING_BLOCKED
) -> Iterator[RequestedFacility]:
    """The facilities of an open DR event. `blocked_by`: (DR event, facility) -> the quality that blocks it."""
    if row.starts_at is None:
        return
    near = row.status in {"accepted", "scheduled"} and row.starts_at - now <= AHEAD
    for facility_id in row.facility_ids:
        quality = blocked_by.get((row.dr_event_id, facility_id))
        joins_late = row.status == "active" and quality is not None
        yield RequestedFacility(
            facility_id=facility_id,
            dr_event_id=row.dr_event_id,
            utility_event_id=row.utility_event_id,
            starts_at=row.starts_at,
            imminent=near or row.status == "preparing" or joins_late,
            blocked_by=quality,
        )

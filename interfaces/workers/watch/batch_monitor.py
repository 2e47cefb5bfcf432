"""BatchMonitor: states an alert while a DR event is under way when too many of its facilities have dropped out.

Waiting for its end would be too late: from that moment on 80 % cannot be reached, whatever the others do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from domain.dispatch import FINAL as FINAL_DISPATCH
from domain.dispatch import UNDOING
from domain.dr_event import Batch, DREventStatus
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow, key_of
from projections.queries.views import View, all_rows

ALERT, OBSERVER = "batch_below_80_percent", "batch monitor"
MIN_SUCCESS = 0.8
"""The share of the requested facilities."""
LOCK = "batch-watch"
CHECK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
UNDER_WAY: tuple[DREventStatus, ...] = ("scheduled", "preparing", "active", "recovering")
RELEASED = sorted({"aborting", *UNDOING, *FINAL_DISPATCH})
"""The statuses of dispatches that may have dropped out. All others go on."""
SHOWN_FOR = timedelta(hours=1)
"""Clock time that the alert stays open after the end of the DR event."""
NEWEST = 100
"""DR events that a monitor which takes over looks at, by when they were opened."""
NAMED = 5
"""How many facilities an alert names."""


@dataclass
class BatchMonitor:
    """One is active per system."""

    dr_events: View[DREventRow]
    dispatches: View[DispatchRow]
    alerts: AlertRegistry
    clock: Clock
    _followed: set[UUID] | None = field(default=None, init=False)
    """The DR events that are under way, or ended SHOWN_FOR ago at most."""

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "batch monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock=LOCK,
            reset=self.reset,
        )

    def reset(self) -> None:
        """Another process worked meanwhile: DR events may have ended since."""
        self._followed = None

    def check(self) -> None:
        """State the alert of each DR event that can no longer reach the share, or has missed it a short time ago."""
        now = self.clock.now()
        before = self.alerts.stated(ALERT, observer=OBSERVER)
        if self._followed is None:
            newest = self.dr_events.listed(limit=NEWEST).rows
            self._followed = {*map(UUID, before), *(row.dr_event_id for row in newest)}
        running = {row.dr_event_id: row for row in self._under_way()}
        stated = {str(key): detail for key, row in running.items() if (detail := self._out_of_reach(row))}
        recent: set[UUID] = set()
        ended = self.dr_events.by_key([key_of(one) for one in self._followed - running.keys()])
        for row in ended.values():
            ended_at = row.completed_at or row.cancelled_at
            if ended_at is not None and now - ended_at < SHOWN_FOR:
                recent.add(row.dr_event_id)
                # One that was wound up before a batch was counted is shown as it was.
                detail = before.get(str(row.dr_event_id)) if row.batch is None else _missed(row.batch)
                if detail is not None:
                    stated[str(row.dr_event_id)] = detail
        for one in self._followed - running.keys() - {row.dr_event_id for row in ended.values()}:
            if (detail := before.get(str(one))) is not None:  # the read model is being rebuilt
                recent.add(one)
                stated[str(one)] = detail
        self._followed = recent | running.keys()
        self.alerts.state(ALERT, stated, observer=OBSERVER, at=now)

    def _under_way(self) -> Iterator[DREventRow]:
        for status in UNDER_WAY:
            yield from all_rows(self.dr_events, status=status)

    def _out_of_reach(self, row: DREventRow) -> str | None:
        lost, asked = self._lost(row), len(row.facility_ids)
        if asked and (asked - len(lost)) / asked < MIN_SUCCESS:
            return f"at most {asked - len(lost)} of {asked} facilities can serve: {_named(lost)}"
        return None

    def _lost(self, row: DREventRow) -> list[str]:
        """The requested facilities that have dropped out. One without a dispatch may still be planned."""
        return sorted(
            dispatch.facility_id
            for status in RELEASED
            for dispatch in all_rows(self.dispatches, dr_event_id=str(row.dr_event_id), status=status)
            if dispatch.has_dropped_out and dispatch.facility_id in row.facility_ids
        )


def _missed(batch: Batch) -> str | None:
    if not batch.asked or batch.served / batch.asked >= MIN_SUCCESS:
        return None
    return f"{batch.served} of {batch.asked} facilities served"


def _named(facilities: list[str]) -> str:
    more = len(facilities) - NAMED
    return f"{', '.join(facilities[:NAMED])}{f' and {more} more' if more > 0 else ''} dropped out"

"""Proposes that blocked dispatches are judged again, once for each newer forecast. The aggregate decides.

What was judged is known to this process only: after a restart every blocked dispatch is judged once more, which records
nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.retry import TRANSIENT
from application.command_bus.spans import logged
from application.commands.dispatch import JudgeBlockedDispatch
from application.ports.clock import Clock
from application.ports.failpoints import Failpoint
from application.ports.forecast.forecast_book import ForecastBook, IssuedForecast
from domain.errors import DomainError
from projections.dispatch.projection import DispatchRow
from projections.queries.views import View, all_rows

MOST_BLOCKED = 10_000
"""So many blocked dispatches are read, those that begin first."""
MOST_AT_ONCE = 500
"""So many are proposed in one round; the others follow in the next, those first that were never judged."""
log = structlog.get_logger("watch")


@dataclass(frozen=True)
class BlockedDispatchReview:
    """A proposal may be lost or doubled: preparation judges a blocked dispatch too."""

    dispatches: View[DispatchRow]
    book: ForecastBook
    bus: CommandBus
    clock: Clock
    reached: Failpoint
    _judged_by: dict[UUID, UUID] = field(default_factory=dict)
    """Dispatch -> the forecast by which it was judged last."""

    def blocked(self) -> list[DispatchRow]:
        """The dispatches that the read model shows as blocked, in the order of their starts."""
        return list(islice(all_rows(self.dispatches, status="blocked"), MOST_BLOCKED))

    def propose(self, blocked: Sequence[DispatchRow]) -> None:
        """Propose the judgement of those with a newer forecast. Raises TRANSIENT errors, after which the rest follows
        in the next round."""
        still_blocked = {row.dispatch_id for row in blocked}
        for dispatch_id in self._judged_by.keys() - still_blocked:
            del self._judged_by[dispatch_id]
        facility_ids = sorted({row.facility_id for row in blocked})
        newest = self.book.newest_of(facility_ids, at=self.clock.now()) if facility_ids else {}
        waiting = [
            (row, forecast)
            for row in blocked
            if (forecast := newest.get(row.facility_id)) is not None
            and self._judged_by.get(row.dispatch_id) != forecast.forecast_id
        ]
        # First those that were never judged: the others would otherwise take every round with each newer forecast.
        waiting.sort(key=lambda one: one[0].dispatch_id in self._judged_by)
        for row, forecast in waiting[:MOST_AT_ONCE]:
            with logged(row.trace_id, dr_event=row.dr_event_id, facility=row.facility_id):
                self._judge(row, forecast)
            self._judged_by[row.dispatch_id] = forecast.forecast_id

    def _judge(self, row: DispatchRow, forecast: IssuedForecast) -> None:
        command = JudgeBlockedDispatch(dr_event_id=row.dr_event_id, facility_id=row.facility_id)
        context = CommandContext(
            correlation_id=row.correlation_id,
            causation_id=forecast.forecast_id,
            actor="worker:watch",
            tenant=row.tenant,
            trace_id=row.trace_id,
        )
        in_flight = f"{row.facility_id} of {row.dr_event_id}"
        self.reached("watch.before_unblocking", in_flight)
        try:
            self.bus.handle(command, context)
        except TRANSIENT:
            raise
        except DomainError as refusal:
            log.info("proposal refused", command=type(command).__name__, why=str(refusal))
        except Exception:  # whatever it is, it must not keep the other dispatches blocked
            log.exception("blocked dispatch not judged", dispatch=str(row.dispatch_id))
        self.reached("watch.after_unblocking", in_flight)

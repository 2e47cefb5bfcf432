"""Wiring of settlement: the pass of the measure worker, and the verification of what it recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from interfaces.bootstrap.stores import Stores

if TYPE_CHECKING:
    from application.ledger.verification_report import Span
    from application.ports.failpoints import Failpoint
    from application.settlement.verification import SettlementReport
    from interfaces.workers.measure.settle import Settling


def settling(stores: Stores, reached: Failpoint) -> Settling:
    """What settles DR events: a pass of the measure worker."""
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from interfaces.workers.measure.failing_settlements import FailingSettlements
    from interfaces.workers.measure.settle import Settling

    return Settling(
        event_log=stores.events,
        positions=PostgresReaderPositions(stores.pool),
        store=stores.events,
        row_of=stores.read_models().dr_events.get,
        bus=stores.bus,
        clock=stores.clock,
        failing=FailingSettlements(stores.alerts(), stores.clock),
        reached=reached,
    )


def verify_settlements(
    stores: Stores,
    *,
    span: Span | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SettlementReport:
    """Verify that the settlements in the log follow from it, and raise or clear the alert `ledger_mismatch` of them."""
    from application.settlement.verification import verify_settlements as verified

    log = stores.stream_log()
    head = log.head()
    report = verified(
        log,
        stores.settlement_documents(),
        after=0 if span is None else span.first - 1,
        until=head if span is None else min(span.last, head),
        progress=progress,
    )
    alerts, now = stores.alerts(), stores.clock.now()
    if report.findings:
        first = report.findings[0]
        detail = (
            f"{len(report.findings)} findings, the first: {first.kind} of revision {first.revision} of DR event "
            f"{first.dr_event_id}: {first.detail}"
        )
        alerts.raise_alert("ledger_mismatch", "settlements", detail[:1_000], at=now)
    elif span is None:
        alerts.clear("ledger_mismatch", "settlements", at=now)
    return report

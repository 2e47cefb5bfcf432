"""The target of an import of history, and how it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from application.command_bus.decision_context import CommandContext, provenance_of
from application.history_import.admission import UnknownOf
from application.history_import.importer import HistoryReport, new_import
from application.ports.clock import Clock
from application.ports.telemetry.store import TelemetryStore
from domain.administration import AdministrativeAct

if TYPE_CHECKING:
    from interfaces.bootstrap import Stores


class ImportTarget(NamedTuple):
    """For one import. Its acts are recorded once for a causation id, however often it is repeated."""

    store: TelemetryStore
    clock: Clock
    unknown_of: UnknownOf
    record_begin: Callable[[str, HistoryReport], UUID | None]
    """Its arguments are the file's digest and the report of the checked file; returns what identifies the import."""
    record_end: Callable[[HistoryReport], object]
    """Also seals the days that the import touched."""


def import_target(stores: Stores, context: CommandContext) -> ImportTarget:
    """The telemetry store and the log of the running system."""
    from interfaces.bootstrap import imported_history, portfolio_ids, seal_imported_history

    log, imports = stores.act_log(), imported_history(stores)
    begun: list[UUID] = []

    def record_begin(file_sha256: str, checked: HistoryReport) -> UUID:
        provenance = provenance_of(context, stores.decision_clock.now())
        begin = AdministrativeAct.begin_history_import
        facility_ids = [one.facility_id for one in checked.facilities]
        act = begin(provenance, file_sha256=file_sha256, facility_ids=facility_ids)
        log.record([act])
        imports.begin(new_import(act.id, provenance, file_sha256, checked))
        begun.append(act.id)
        return act.id

    def record_end(report: HistoryReport) -> None:
        provenance = provenance_of(context, stores.decision_clock.now())
        act = AdministrativeAct.import_history(
            provenance,
            facility_ids=[one.facility_id for one in report.facilities],
            intervals=report.added,
            changed=report.changed,
        )
        log.record([act])
        [import_id] = begun
        imports.complete(import_id, added=report.added, changed=report.changed, at=provenance.recorded_at)
        seal_imported_history(stores, report, provenance_of(context, stores.decision_clock.now()))

    unknown_of = portfolio_ids(stores).unknown_facilities
    return ImportTarget(stores.telemetry(), stores.clock, unknown_of, record_begin, record_end)

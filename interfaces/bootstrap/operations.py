"""Wiring of the portfolio's ids, of imports that are taken back, of the locks, of the replay of dead letters, the
monitors of positions and replicas, settlement, and the time limits of BMS commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interfaces.bootstrap.servers import NoRunningSystem
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.telemetry_stream import oldest_reading, telemetry_log
from interfaces.failpoints import failpoint

if TYPE_CHECKING:
    from application.access.portfolio_ids import PortfolioIds
    from application.history_import.taking_back import Seal
    from application.ledger.verification_report import Span
    from application.measurement.regression_source import RegressionSource
    from application.operations.dead_letter_replay import DeadLetterReplay
    from application.ports.coordination.locks import Locks
    from application.ports.failpoints import Failpoint
    from application.ports.operations.host_tasks import HostTasks
    from application.ports.telemetry.imported_history import ImportedHistory, ImportSpan
    from application.ports.telemetry.stream import TelemetryStream
    from application.settlement.verification import SettlementReport
    from domain.event_sourcing.aggregate import Provenance
    from interfaces.workers.compute.remeasure import Remeasuring

CONNECT_WITHIN_S = 10.0
"""A worker waits for NATS without a limit; a command fails after this time."""
REPLICA = "read replica"
REPLICA_WITHIN_S = 2.0
NO_NATS = "NATS does not answer: check GRIDPROOF_NATS_URL, see `gridproof doctor`; the letter stays open"


def portfolio_ids(stores: Stores) -> PortfolioIds:
    """What knows the facilities and utilities of the portfolio."""
    from application.access.portfolio_ids import PortfolioIds
    from interfaces.bootstrap.stores import facility_rows

    return PortfolioIds(
        facility_ids=lambda: (row.facility_id for row in facility_rows(stores)),
        streams=stores.events,
        utilities=stores.utilities(),
    )


def host_tasks(stores: Stores) -> HostTasks:
    from adapters.postgres.operations.host_tasks import PostgresHostTasks

    return PostgresHostTasks(stores.pool)


def imported_history(stores: Stores) -> ImportedHistory:
    from adapters.postgres.telemetry.imported_history import PostgresImportedHistory

    return PostgresImportedHistory(stores.pool, elsewhere=stores.settings.telemetry_store == "influx")


def seal_without_import(stores: Stores, provenance: Provenance) -> tuple[Collection[str], Seal]:
    """The facilities of the portfolio, and what seals the days of one of them after an import was taken back."""
    from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
    from interfaces.bootstrap.stores import facility_rows

    now = stores.clock.now()
    zones = {row.facility_id: row.locations.at(now).tz for row in facility_rows(stores)}
    sealer = HistorySealer(stores.events, stores.telemetry())

    def seal(span: ImportSpan) -> None:
        of = ImportedSpan(span.facility_id, span.starts_at, span.ends_at, span.step_s, span.rows)
        sealer.seal([of], zones, provenance, is_taken_back=True)

    return zones, seal


def failpoint_of(stores: Stores) -> Failpoint:
    """What ends this process where the settings say."""
    return failpoint(stores.settings.failpoint, stores.settings.failpoint_once_file)


def locks_of(stores: Stores) -> Locks:
    """Made once in a process: one session holds all of its locks."""
    from adapters.postgres.coordination.named_locks import AdvisoryLocks
    from adapters.postgres.coordination.session_locks import LockSession

    return AdvisoryLocks(LockSession(stores.database_url))


def dead_letter_replay(stores: Stores) -> DeadLetterReplay:
    """The replay connects to NATS only for dead letters of telemetry."""
    from application.operations.dead_letter_replay import DeadLetterReplay

    @asynccontextmanager
    async def stream() -> AsyncIterator[TelemetryStream]:
        import nats.errors

        from adapters.nats.connection import connect
        from application.ports.telemetry.stream import StreamUnavailable

        connecting = connect(_nats_url(stores), name="replay", keep_trying=False)
        try:
            client = await asyncio.wait_for(connecting, CONNECT_WITHIN_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamUnavailable(NO_NATS) from error
        try:
            yield telemetry_log(client, stores.settings)
        finally:
            await client.close()

    return DeadLetterReplay(
        dead_letters=stores.dead_letters(),
        bus=stores.bus,
        clock=stores.decision_clock,
        open_work=stores.open_work(),
        stream=stream,
        meters=stores.listed_meters(),
        event_log=stores.events,
        oldest_reading=oldest_reading(stores.settings),
        measure_again=lambda corrections: remeasuring(stores).measure_parked(corrections),
    )


def remeasuring(stores: Stores) -> Remeasuring:
    """What measures again after corrections: the pass of the compute worker, and the replay of what it parked."""
    from adapters.forecasting.calendar.public_holidays import RegionalHolidays
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from application.measurement.correction_parking import CorrectionParking
    from interfaces.workers.compute.remeasure import Remeasuring

    return Remeasuring(
        corrections=stores.rollups(),
        positions=PostgresReaderPositions(stores.pool),
        row_of=stores.read_models().dispatches.get,
        store=stores.events,
        telemetry=stores.telemetry(),
        bus=stores.bus,
        clock=stores.decision_clock,
        parking=CorrectionParking(stores.dead_letters(), stores.clock),
        regression=regression_source(stores),
        public_holidays=RegionalHolidays(),
    )


def verify_settlements(
    stores: Stores,
    *,
    span: Span | None = None,
    restore: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SettlementReport:
    """Verify that the settlements in the log follow from it, and state the alert `ledger_mismatch` of them.

    `restore`: missing documents that follow from the log are stored again before.
    """
    from application.ledger.status import state_verified
    from application.settlement.restoration import restore_documents
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
    if restore and restore_documents(log, stores.settlement_documents(), report.findings):
        return verify_settlements(stores, span=span, progress=progress)
    if report.findings:
        first = report.findings[0]
        detail = (
            f"{len(report.findings)} findings, the first: {first.kind} of revision {first.revision} of DR event "
            f"{first.dr_event_id}: {first.detail}"
        )
        state_verified(stores.alerts(), "settlements", detail, at=stores.clock.now())
    elif span is None:
        state_verified(stores.alerts(), "settlements", None, at=stores.clock.now())
    return report


def regression_source(stores: Stores) -> RegressionSource:
    """What baselines by regression need."""
    from application.measurement.regression_source import RegressionSource
    from interfaces.bootstrap.offline import regression_fitter
    from interfaces.bootstrap.weather import cell_temperatures

    return RegressionSource(regression_fitter(), cell_temperatures(stores))


def _nats_url(stores: Stores) -> str:
    if stores.settings.nats_url is None:
        raise NoRunningSystem("no NATS is known: set GRIDPROOF_NATS_URL, or start `gridproof up`")
    return stores.settings.nats_url


def verify_read_models(stores: Stores) -> list[str]:
    """The read models that differ from a new fold of the log, each with its first difference."""
    from projections.registry import PROJECTIONS

    maintenance = stores.projection_maintenance()
    reports = [maintenance.verify(projection) for projection in PROJECTIONS]
    return [f"{report.name}: {report.first_difference}" for report in reports if not report.equal]


def replica_problem(url: str) -> str | None:
    """Why the replica at `url` is not read from now; None: it is."""
    from adapters.postgres.read_model import replica

    with replica.replica_pool(url, size=1, connect_within_s=REPLICA_WITHIN_S) as pool:
        return replica.replica_problem(pool)

"""A measurement that used a wrong import is made again when the import is taken back, and its days are sealed again."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.settlement_documents import PostgresSettlementDocuments
from adapters.postgres.telemetry.imported_history import PostgresImportedHistory
from application.command_bus.bus import CommandBus
from application.commands.dr_event import MeasureDREvent, SettleDREvent, SettlementOutcome
from application.commands.program import AgreeProgram
from application.handlers import HANDLERS
from application.history_import.taking_back import find_import, take_back
from application.ports.telemetry.imported_history import ImportSpan, NewImport
from application.ports.telemetry.store import ImportedIntervals
from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import HistorySeals
from domain.time_series.windows import local_day
from interfaces.workers.compute.remeasure import RIPE_AFTER
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.integration.forecast.test_remeasure import (
    FACILITY,
    LAST_QUARTER,
    RemeasurementSetup,
    remeasurement,
)
from tests.sample_values import CONTEXT, DR_EVENT_ID, ENDS_AT, NOW, STARTS_AT, program_entry, provenance
from tests.servers import Database
from tests.settled_portfolio import RULE

__all__ = ["remeasurement"]

IMPORT = UUID(int=0x108)
WRONG_FROM = STARTS_AT - timedelta(days=1)
QUARTERS = 8


def test_a_measurement_and_its_settlement_follow_an_import_that_is_taken_back_and_one_in_its_place(
    remeasurement: RemeasurementSetup,
    database: Database,
) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.readings(LAST_QUARTER, ENDS_AT, 700.0)
    remeasurement.finalize()
    _complete(remeasurement)
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        imports, documents = PostgresImportedHistory(pool), PostgresSettlementDocuments(pool)
        _import_900_kw(remeasurement, imports, IMPORT)
        assert remeasurement.measure() == 1
        amounts = [_settled(remeasurement, documents)]

        remeasurement.clock.moment = ENDS_AT + timedelta(days=2)
        sealer = HistorySealer(remeasurement.store, remeasurement.telemetry)
        at = provenance(remeasurement.clock.moment)
        take_back(
            imports,
            PostgresActLog(pool),
            at,
            find_import(imports, str(IMPORT)),
            reason="of another year",
            portfolio={FACILITY},
            seal=lambda one: sealer.seal(
                [ImportedSpan(one.facility_id, one.starts_at, one.ends_at, one.step_s, one.rows)],
                {FACILITY: "UTC"},
                at,
                is_taken_back=True,
            ),
        )
        [sealed] = [
            entry.domain_event
            for entry in remeasurement.store.read_after(0, 1_000)
            if isinstance(entry.domain_event, HistorySeals.Sealed)
        ]
        day = local_day(sealed.first_day, ZoneInfo("UTC"))
        values = FacilityValues.of(remeasurement.telemetry.interval_series_of([FACILITY], day), FACILITY)
        assert (sealed.is_taken_back, sealed.days[0]) == (True, day_digest(values))

        remeasurement.clock.moment += RIPE_AFTER
        assert remeasurement.measure_again() == 1
        amounts.append(_settled(remeasurement, documents))

        remeasurement.clock.moment += timedelta(hours=1)  # the correction was read long ago
        assert remeasurement.measure_again() == 0
        _import_900_kw(remeasurement, imports, UUID(int=0x109))
        remeasurement.clock.moment += RIPE_AFTER
        assert remeasurement.measure_again() == 1
        amounts.append(_settled(remeasurement, documents))

    first, second, third = remeasurement.facts()
    assert isinstance(first, Dispatch.Measured)
    assert isinstance(second, Dispatch.Remeasured)
    assert isinstance(third, Dispatch.Remeasured)
    # One of the ten days of the baseline was 100 kW higher.
    assert [one.figures.delivered_kw for one in (first, second)] == pytest.approx([110.0, 100.0])
    assert third.figures == first.figures
    assert None not in amounts
    assert amounts[0] == amounts[2] != amounts[1]


def _complete(setup: RemeasurementSetup) -> None:
    """The DR event, under terms that pay for what was delivered."""
    setup.bus.handle(AgreeProgram(entry=program_entry(settlement=RULE)), CONTEXT)
    dr_event = setup.store.load(DREvent, DR_EVENT_ID)
    dr_event.start_preparation(provenance(NOW), now=NOW)
    dr_event.start(provenance(STARTS_AT), now=STARTS_AT)
    dr_event.end(provenance(ENDS_AT), now=ENDS_AT)
    batch = Batch(asked=1, prepared=1, committed=1, failed=0, restored=1)
    dr_event.complete(provenance(ENDS_AT), batch=batch, failed_facilities=())
    setup.store.save([dr_event])


def _settled(setup: RemeasurementSetup, documents: PostgresSettlementDocuments) -> str | None:
    """The total of the revision that is in force then."""
    setup.bus.handle(MeasureDREvent(dr_event_id=DR_EVENT_ID), CONTEXT)
    bus = CommandBus(setup.store, setup.clock, HANDLERS, forecasts=FakeForecastBook(), settlements=documents)
    command = SettleDREvent(dr_event_id=DR_EVENT_ID, why="measured", by_newest_rule=True)
    outcome = bus.handle(command, CONTEXT, reply_type=SettlementOutcome)
    assert outcome.recorded
    return outcome.figures.total


def _import_900_kw(setup: RemeasurementSetup, imports: PostgresImportedHistory, import_id: UUID) -> None:
    span = ImportSpan(
        facility_id=FACILITY,
        step_s=900,
        starts_at=WRONG_FROM,
        ends_at=WRONG_FROM + timedelta(hours=2),
        rows=QUARTERS,
    )
    imports.begin(
        NewImport(
            import_id=import_id,
            begun_at=setup.clock.moment,
            begun_by="operator:cli/1",
            file_sha256="f" * 64,
            spans=(span,),
        )
    )
    starts_s = int(WRONG_FROM.timestamp()) + 900 * np.arange(QUARTERS)
    setup.telemetry.import_intervals(
        ImportedIntervals(
            (FACILITY,),
            np.zeros(QUARTERS, dtype=np.int64),
            starts_s,
            np.full(QUARTERS, 900),
            np.full(QUARTERS, 900.0),
            np.full(QUARTERS, np.nan),
        ),
        import_id,
    )

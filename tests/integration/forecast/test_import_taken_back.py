"""A measurement that used a wrong import is made again when the import is taken back, and its days are sealed again."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.telemetry.imported_history import PostgresImportedHistory
from application.history_import.taking_back import find_import, take_back
from application.ports.telemetry.imported_history import ImportSpan, NewImport
from application.ports.telemetry.store import ImportedIntervals
from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
from domain.dispatch import Dispatch
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import HistorySeals
from domain.time_series.windows import local_day
from interfaces.workers.measure.remeasure import RIPE_AFTER
from tests.integration.forecast.test_remeasure import (
    FACILITY,
    LAST_QUARTER,
    RemeasurementSetup,
    remeasurement,
)
from tests.sample_values import ENDS_AT, STARTS_AT, provenance
from tests.servers import Database

__all__ = ["remeasurement"]

IMPORT = UUID(int=0x108)
WRONG_FROM = STARTS_AT - timedelta(days=1)
QUARTERS = 8


def test_a_measurement_follows_an_import_that_is_taken_back(
    remeasurement: RemeasurementSetup,
    database: Database,
) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.readings(LAST_QUARTER, ENDS_AT, 700.0)
    remeasurement.finalize()
    span = ImportSpan(
        facility_id=FACILITY,
        step_s=900,
        starts_at=WRONG_FROM,
        ends_at=WRONG_FROM + timedelta(hours=2),
        rows=QUARTERS,
    )
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        imports = PostgresImportedHistory(pool)
        imports.begin(
            NewImport(
                import_id=IMPORT,
                begun_at=remeasurement.clock.moment,
                begun_by="operator:cli/1",
                file_sha256="f" * 64,
                spans=(span,),
            )
        )
        _import_900_kw(remeasurement)
        assert remeasurement.measure() == 1

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
            writes_newer_topics=True,
        )
    remeasurement.clock.moment += RIPE_AFTER
    assert remeasurement.measure_again() == 1

    first, second = remeasurement.facts()
    assert isinstance(first, Dispatch.Measured)
    assert isinstance(second, Dispatch.Remeasured)
    # One of the ten days of the baseline was 100 kW higher.
    assert [one.figures.delivered_kw for one in (first, second)] == pytest.approx([110.0, 100.0])

    [sealed] = [
        entry.domain_event
        for entry in remeasurement.store.read_after(0, 1_000)
        if isinstance(entry.domain_event, HistorySeals.Sealed)
    ]
    day = local_day(sealed.first_day, ZoneInfo("UTC"))
    values = FacilityValues.of(remeasurement.telemetry.interval_series_of([FACILITY], day), FACILITY)
    assert (sealed.is_taken_back, sealed.days[0]) == (True, day_digest(values))


def _import_900_kw(setup: RemeasurementSetup) -> None:
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
        IMPORT,
    )

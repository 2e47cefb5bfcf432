"""The contract of ImportedHistory: an import that is taken back leaves what the others say, and readings of meters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.imported_history import PostgresImportedHistory
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.imported_history import ImportedHistory, ImportSpan, NewImport, RowsTakenBack
from application.ports.telemetry.rollups import CorrectedInterval, TelemetryRollups
from application.ports.telemetry.store import ImportedIntervals, ReadingsRefused, TelemetryStore
from application.ports.telemetry.stored_meters import RemovalNotSupported
from domain.telemetry.intervals import INTERVAL
from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, tzinfo=UTC)
AT = T0 + timedelta(days=30)
STEPS = 8
WINDOW = TimeWindow(T0, T0 + timedelta(minutes=15 * STEPS))
NAN = float("nan")
Rows = dict[int, tuple[float, float]]
"""Number of a quarter-hour after T0 -> mean kW and temperature."""


@dataclass
class Telemetry:
    store: TelemetryStore
    imports: ImportedHistory
    rollups: TelemetryRollups

    def begin(self, number: int, *facility_ids: str, rows: int = 0) -> UUID:
        import_id = UUID(int=number)
        spans = tuple(
            ImportSpan(facility_id=one, step_s=900, starts_at=T0, ends_at=WINDOW.ends_at, rows=rows)
            for one in facility_ids
        )
        self.imports.begin(
            NewImport(
                import_id=import_id,
                begun_at=T0 + timedelta(days=number),
                begun_by="operator:cli/1",
                file_sha256="f" * 64,
                spans=spans,
            )
        )
        return import_id

    def put(self, import_id: UUID | None, rows: Rows, facility_id: str = "fac") -> None:
        first_s = int(T0.timestamp())
        self.store.import_intervals(
            ImportedIntervals(
                (facility_id,),
                np.zeros(len(rows), dtype=np.int64),
                np.array([first_s + 900 * n for n in rows], dtype=np.int64),
                np.full(len(rows), 900, dtype=np.int64),
                np.array([kw for kw, _ in rows.values()]),
                np.array([temp_c for _, temp_c in rows.values()]),
            ),
            import_id,
        )

    def remove(self, import_id: UUID, facility_id: str = "fac", *, corrects: bool = True) -> RowsTakenBack:
        return self.imports.remove_rows(
            import_id, facility_id, corrected_from=T0 - timedelta(days=1) if corrects else None, at=AT
        )

    def seen(self, facility_id: str = "fac") -> list[tuple[float | None, float | None, float]]:
        """What a reader sees of each quarter-hour: mean kW, temperature, coverage."""
        block = self.store.interval_series_of([facility_id], WINDOW)
        columns = (block.mean_kw[0], block.temp_c[0], block.coverage_pct[0])
        return [
            (*(None if np.isnan(one) else float(one) for one in (kw, temp_c)), float(coverage))  # type: ignore[misc]
            for kw, temp_c, coverage in zip(*columns, strict=True)
        ]

    def corrections(self) -> Sequence[CorrectedInterval]:
        return self.rollups.corrections_after(0, limit=1_000)


@pytest.fixture(params=["fake", "postgres"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    clock = FakeClock(AT)
    if request.param == "fake":
        store = FakeTelemetryStore()
        rollups = FakeTelemetryRollups(store, clock)
        yield Telemetry(store, FakeImportedHistory(store, rollups), rollups)
        return
    with ConnectionPool[Any](request.getfixturevalue("database").app_dsn, min_size=1, max_size=2) as pool:
        yield Telemetry(
            PostgresTelemetryStore(pool, clock),
            PostgresImportedHistory(pool),
            PostgresTelemetryRollups(pool, clock),
        )


def nothing() -> list[tuple[None, None, float]]:
    return [(None, None, 0.0)] * STEPS


def meter_readings(facility_id: str, starts_at: datetime) -> list[MeterReading]:
    """50 kW for a quarter-hour."""
    return [
        MeterReading(facility_id, "m", starts_at + timedelta(seconds=15 * n), 50.0, None) for n in range(60)
    ]


def test_imports_are_listed_the_newest_first_with_what_became_of_them(telemetry: Telemetry) -> None:
    first = telemetry.begin(1, "b", "a", rows=4)
    second = telemetry.begin(2, "c", rows=3)
    telemetry.begin(2, "x")
    telemetry.imports.complete(first, added=7, changed=1, at=AT)
    newest, oldest = telemetry.imports.listed(limit=10)
    assert [one.import_id for one in telemetry.imports.listed(limit=1)] == [newest.import_id] == [second]
    assert (newest.rows, newest.facilities, newest.completed_at, newest.facilities_left) == (3, 1, None, 0)
    assert (oldest.rows, oldest.facilities, oldest.added, oldest.changed) == (8, 2, 7, 1)
    assert (oldest.starts_at, oldest.ends_at, oldest.completed_at) == (T0, WINDOW.ends_at, AT)
    assert (oldest.begun_by, oldest.begun_at, oldest.file_sha256) == (
        "operator:cli/1",
        T0 + timedelta(days=1),
        "f" * 64,
    )
    telemetry.imports.mark_taken_back(first, by="operator:cli/2", reason="another year", at=AT)
    telemetry.imports.mark_taken_back(first, by="operator:cli/3", reason="again", at=AT + timedelta(days=1))
    telemetry.imports.finish(first, "a", at=AT)
    [found] = telemetry.imports.find(str(first))
    assert (found.taken_back_at, found.taken_back_by, found.reason) == (AT, "operator:cli/2", "another year")
    assert found.facilities_left == 1
    assert [(span.facility_id, span.taken_back_at) for span in telemetry.imports.spans(first)] == [
        ("a", AT),
        ("b", None),
    ]
    assert len(telemetry.imports.find("00000000")) == 2
    assert telemetry.imports.find("ffffffff") == []


def test_rows_of_an_import_leave_the_series_and_those_of_others_stay(telemetry: Telemetry) -> None:
    older, newer = telemetry.begin(1, "fac", "other"), telemetry.begin(2, "fac")
    telemetry.put(older, {0: (10.0, 20.0), 1: (11.0, NAN), 2: (12.0, NAN)})
    telemetry.put(older, {0: (99.0, NAN)}, "other")
    telemetry.put(newer, {1: (21.0, NAN), 2: (12.0, NAN), 3: (23.0, 25.0)})
    assert [kw for kw, *_ in telemetry.seen()[:4]] == [10.0, 21.0, 12.0, 23.0]
    assert telemetry.remove(newer) == RowsTakenBack(removed=1, restored=1, kept=1, corrected=2)
    assert telemetry.seen()[:4] == [
        (10.0, 20.0, 100.0),
        (11.0, None, 100.0),
        (12.0, None, 100.0),
        (None, None, 0.0),
    ]
    assert [
        (one.starts_at, one.old_mean_kw, one.new_mean_kw, one.old_kwh) for one in telemetry.corrections()
    ] == [
        (T0 + timedelta(minutes=15), 21.0, 11.0, 5.25),
        (T0 + timedelta(minutes=45), 23.0, None, 5.75),
    ]
    assert telemetry.remove(newer) == RowsTakenBack(), "nothing is left"
    assert telemetry.remove(older) == RowsTakenBack(removed=3, corrected=3)
    assert telemetry.seen() == nothing()
    assert telemetry.seen("other")[0] == (99.0, None, 100.0), "each facility is done by itself"


def test_what_a_later_import_replaced_stays_and_then_goes_with_it(telemetry: Telemetry) -> None:
    older, newer = telemetry.begin(1, "fac"), telemetry.begin(2, "fac")
    telemetry.put(older, {0: (10.0, 20.0)})
    telemetry.put(newer, {0: (30.0, NAN)})
    assert telemetry.remove(older) == RowsTakenBack(restored=1, corrected=1), "its temperature is gone"
    assert telemetry.seen()[0] == (30.0, None, 100.0)
    assert telemetry.remove(newer) == RowsTakenBack(removed=1, corrected=1)
    assert telemetry.seen() == nothing()


def test_rows_that_no_recorded_import_stored_stay(telemetry: Telemetry) -> None:
    telemetry.put(None, {0: (10.0, NAN), 1: (11.0, NAN)})
    taken = telemetry.begin(1, "fac")
    telemetry.put(taken, {0: (20.0, 5.0), 1: (11.0, NAN), 2: (22.0, NAN), 3: (23.0, NAN)})
    telemetry.put(None, {2: (32.0, NAN)})  # without a layer
    assert telemetry.remove(taken) == RowsTakenBack(removed=1, restored=1, kept=2, corrected=2)
    assert [kw for kw, *_ in telemetry.seen()[:4]] == [10.0, 11.0, 32.0, None]


def test_readings_of_meters_stay_and_hide_what_was_imported(telemetry: Telemetry) -> None:
    taken = telemetry.begin(1, "fac")
    telemetry.put(taken, {0: (10.0, NAN), 1: (11.0, NAN)})
    telemetry.store.prepare_days(T0, T0)
    telemetry.store.write_readings(
        partition_of("fac"),
        1,
        [MeterReading("fac", "m", T0 + timedelta(seconds=15 * n), 50.0, None) for n in range(60)],
    )
    assert telemetry.remove(taken).removed == 2
    seen = telemetry.seen()
    assert (seen[0][0], seen[1]) == (50.0, (None, None, 0.0))
    assert [one.starts_at for one in telemetry.corrections()] == [T0 + timedelta(minutes=15)]


def test_corrections_are_of_the_quarter_hours_that_may_matter(telemetry: Telemetry) -> None:
    one, other = telemetry.begin(1, "fac"), telemetry.begin(2, "fac")
    rows = {n: (float(n), NAN) for n in range(STEPS)}
    telemetry.put(one, rows)
    assert telemetry.remove(one, corrects=False) == RowsTakenBack(removed=STEPS)
    telemetry.put(other, rows)
    halfway = T0 + timedelta(minutes=15 * 4 + 5)
    found = telemetry.imports.remove_rows(other, "fac", corrected_from=halfway, at=AT)
    assert (found.removed, found.corrected) == (STEPS, 4)
    assert {one.corrected_at for one in telemetry.corrections()} == {AT}


def test_an_import_over_what_was_taken_back_is_a_correction_and_another_is_none(
    telemetry: Telemetry,
) -> None:
    wrong, right, elsewhere = (
        telemetry.begin(1, "fac"),
        telemetry.begin(2, "fac"),
        telemetry.begin(3, "other"),
    )
    telemetry.put(wrong, {0: (10.0, NAN), 1: (11.0, NAN), 2: (12.0, NAN)})
    telemetry.imports.mark_taken_back(wrong, by="me", reason="wrong", at=AT)
    telemetry.remove(wrong)
    taken_back = len(telemetry.corrections())
    telemetry.put(right, {0: (10.0, NAN), 1: (21.0, NAN)})
    telemetry.put(elsewhere, {0: (10.0, NAN)}, "other")
    telemetry.put(right, {0: (10.0, NAN), 1: (21.0, NAN)})
    corrections = telemetry.corrections()[taken_back:]
    assert [(one.facility_id, one.starts_at, one.old_mean_kw, one.new_mean_kw) for one in corrections] == [
        ("fac", T0, None, 10.0),
        ("fac", T0 + INTERVAL, None, 21.0),
    ], "the rows of a repeated import change nothing"


def test_an_import_that_was_taken_back_or_not_begun_stores_nothing_more(telemetry: Telemetry) -> None:
    running = telemetry.begin(1, "fac")
    telemetry.put(running, {0: (10.0, NAN)})
    telemetry.imports.mark_taken_back(running, by="me", reason="wrong", at=AT)
    with pytest.raises(ReadingsRefused, match="taken back"):
        telemetry.put(running, {1: (11.0, NAN)})
    with pytest.raises(ReadingsRefused, match="not begun"):
        telemetry.put(UUID(int=9), {1: (11.0, NAN)})
    assert [kw for kw, *_ in telemetry.seen()[:2]] == [10.0, None]


def test_an_hourly_import_is_taken_back_with_the_quarter_hours_that_it_filled(telemetry: Telemetry) -> None:
    taken = telemetry.begin(1, "fac")
    first_s = int(T0.timestamp())
    hourly = ImportedIntervals(
        ("fac",),
        np.zeros(2, dtype=np.int64),
        np.array([first_s, first_s + 3600]),
        np.full(2, 3600),
        np.array([5.0, 6.0]),
        np.full(2, NAN),
    )
    telemetry.store.import_intervals(hourly, taken)
    assert telemetry.remove(taken) == RowsTakenBack(removed=2, corrected=8)
    assert telemetry.seen() == nothing()


def test_rows_in_influxdb_are_listed_and_not_removed(request: pytest.FixtureRequest) -> None:
    with ConnectionPool[Any](request.getfixturevalue("database").app_dsn, min_size=1, max_size=1) as pool:
        imports = PostgresImportedHistory(pool, elsewhere=True)
        assert imports.listed(limit=1) == []
        with pytest.raises(RemovalNotSupported, match="InfluxDB"):
            imports.remove_rows(UUID(int=1), "fac", corrected_from=None, at=AT)


known_or_not = st.sampled_from([NAN, 1.0, 2.0, 3.0])
rows = st.dictionaries(st.integers(0, STEPS - 1), st.tuples(known_or_not, known_or_not), min_size=1)
actions: st.SearchStrategy[tuple[str, int, Rows]] = st.one_of(
    st.tuples(st.just("import"), st.integers(0, 2), rows),
    st.tuples(st.just("take back"), st.integers(0, 2), st.just({})),
    st.tuples(st.just("meter"), st.integers(0, STEPS - 1), st.just({})),
)
numbers = count(100)
"""Of imports and facilities: the examples share a store."""


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(actions, min_size=2, max_size=8))
def test_any_order_of_imports_take_backs_and_readings_leaves_what_the_others_imported(
    telemetry: Telemetry, history: list[tuple[str, int, Rows]]
) -> None:
    """Compared with a facility into which only that was put which was not taken back."""
    taken, other = (f"fac-{next(numbers)}" for _ in range(2))
    ids = [telemetry.begin(next(numbers), taken) for _ in range(3)]
    telemetry.store.prepare_days(T0, T0)
    last = {n: at for at, (kind, n, _) in enumerate(history) if kind == "take back"}
    open_ids = set(ids)
    for kind, n, content in history:
        if kind == "meter":
            for one in (taken, other):
                telemetry.store.write_readings(
                    partition_of(one), next(numbers), meter_readings(one, T0 + n * INTERVAL)
                )
        elif kind == "take back":
            telemetry.imports.mark_taken_back(ids[n], by="me", reason="wrong", at=AT)
            telemetry.remove(ids[n], taken)
            open_ids.discard(ids[n])
        elif ids[n] in open_ids:
            telemetry.put(ids[n], content, taken)
            if n not in last:
                telemetry.put(None, content, other)
    assert telemetry.seen(taken) == telemetry.seen(other)

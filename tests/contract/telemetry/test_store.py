"""The contract of TelemetryStore: PostgreSQL's and the fake's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ImportedIntervals, ReadingsRefused, TelemetryStore
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import NotAligned, TimeWindow
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.influxdb_server import influx_connection
from tests.stored_intervals import coverage, interval_series

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
HOUR = TimeWindow(T0, T0 + timedelta(hours=1))
NAN = float("nan")


@dataclass(frozen=True)
class StoreClock:
    """A clock one day after the readings: each store then reports the exact number of new readings."""

    at: datetime = T0 + timedelta(days=1)

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@pytest.fixture(params=["fake", "postgres", "influxdb"])
def store(request: pytest.FixtureRequest) -> Iterator[TelemetryStore]:
    if request.param == "fake":
        yield FakeTelemetryStore()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool:
        if request.param == "postgres":
            yield PostgresTelemetryStore(pool, StoreClock())
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, StoreClock())
            yield InfluxTelemetryStore(connection, progress, StoreClock(), raw_days=3_650)


@pytest.fixture(params=["postgres", "influxdb"])
def store_of_the_moment(request: pytest.FixtureRequest) -> Iterator[TelemetryStore]:
    """A store whose clock is in the middle of the quarter-hour that is written."""
    clock = StoreClock(T0 + timedelta(minutes=10))
    with ConnectionPool[Any](request.getfixturevalue("database").app_dsn, min_size=1, max_size=4) as pool:
        if request.param == "postgres":
            yield PostgresTelemetryStore(pool, clock)
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, clock)
            yield InfluxTelemetryStore(connection, progress, clock, raw_days=3_650)


def reading(
    after_s: float, kw: float | None = 10.0, *, facility: str = "fac-001", meter: str = "m1", **fields: Any
) -> MeterReading:
    kwh_total = fields.pop("kwh_total", 1_000.0)
    return MeterReading(facility, meter, T0 + timedelta(seconds=after_s), kw, kwh_total, **fields)


def every_15_s(start_s: float, end_s: float, kw: float, *, meter: str = "m1") -> list[MeterReading]:
    return [reading(s, kw, meter=meter) for s in np.arange(start_s, end_s, 15.0)]


def history(
    rows: Sequence[tuple[str, int, int, float, float]],
) -> ImportedIntervals:
    """Columns of (facility, seconds after T0, step, kW, temperature)."""
    ids = tuple(sorted({row[0] for row in rows}))
    return ImportedIntervals(
        ids,
        np.array([ids.index(row[0]) for row in rows], dtype=np.int64),
        np.array([int(T0.timestamp()) + row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64),
        np.array([row[3] for row in rows]),
        np.array([row[4] for row in rows]),
    )


def hour_of(store: TelemetryStore, facility: str = "fac-001") -> list[float]:
    return [float(value) for value in interval_series(store, facility, HOUR).values]


def test_an_interval_without_readings_is_missing_and_not_zero(store: TelemetryStore) -> None:
    assert np.isnan(hour_of(store)).all()
    assert store.current(["fac-001"]) == []
    assert store.newest_reading_at("fac-001") is None
    assert coverage(store, "fac-001", HOUR) == 0.0
    assert store.position(3) == 0


def test_repeated_readings_change_nothing(store: TelemetryStore) -> None:
    readings = every_15_s(0, 900, 12.0)
    assert store.write_readings(3, 1, readings) == 60
    before = hour_of(store)
    assert store.write_readings(3, 2, readings) == 0
    assert store.write_readings(3, 3, [*readings, *readings]) == 0
    assert hour_of(store)[0] == before[0] == 12.0
    assert store.position(3) == 3


def test_repeats_of_current_readings_change_nothing_for_any_reader(
    store_of_the_moment: TelemetryStore,
) -> None:
    store, readings = store_of_the_moment, every_15_s(0, 600, 12.0)
    store.write_readings(3, 1, readings)
    before = store.current(["fac-001"]), store.interval_series_of(["fac-001"], HOUR)
    store.write_readings(3, 2, [*readings[20:], *readings])
    store.write_readings(3, 3, [msgspec.structs.replace(r, kw=99.0, quality="estimated") for r in readings])
    after = store.current(["fac-001"]), store.interval_series_of(["fac-001"], HOUR)
    assert after[0] == before[0]
    assert after[1].mean_kw.tolist()[0][0] == before[1].mean_kw.tolist()[0][0] == 12.0
    assert after[1].coverage_pct.tolist() == before[1].coverage_pct.tolist()
    assert store.newest_reading_at("fac-001") == readings[-1].ts


CORRECTIONS = {
    "a higher revision": (reading(15, 12.0), reading(15, 99.0, revision=1)),
    "a measurement in place of an estimate": (
        reading(15, 12.0, quality="estimated"),
        reading(15, 99.0, quality="measured"),
    ),
    "a later word of the same meter": (reading(15, 12.0, seq=7), reading(15, 99.0, seq=8)),
    "the lower of two contradictory values": (reading(15, 100.0), reading(15, 99.0)),
    "nothing, where the meter takes its word back": (
        reading(15, 12.0),
        reading(15, None, kwh_total=None, quality="missing", revision=1),
    ),
}


@pytest.mark.parametrize("what", CORRECTIONS)
@pytest.mark.parametrize("together", [True, False])
def test_the_same_one_of_two_readings_for_one_moment_wins_in_any_order(
    store: TelemetryStore, what: str, together: bool
) -> None:
    others = [r for r in every_15_s(0, 900, 12.0) if r.ts != T0 + timedelta(seconds=15)]
    for number, order in enumerate(permutations(CORRECTIONS[what])):
        facility = f"fac-{number}"
        words = [msgspec.structs.replace(r, facility_id=facility) for r in (*others, *order)]
        if together:
            store.write_readings(3, 1, words)
        else:
            store.write_readings(3, 1, words[:-1])
            store.write_readings(3, 2, words[-1:])
        expected = 12.0 if what.startswith("nothing") else (59 * 12.0 + 99.0) / 60
        assert hour_of(store, facility)[0] == pytest.approx(expected)


def test_a_reading_of_lower_rank_changes_nothing(store: TelemetryStore) -> None:
    assert store.write_readings(3, 1, [reading(15, 12.0, revision=2)]) == 1
    assert store.write_readings(3, 2, [reading(15, 99.0, revision=1), reading(15, 98.0)]) == 0
    assert store.write_readings(3, 3, [reading(15, 11.0, revision=3)]) == 1
    assert store.current(["fac-001"])[0].kw == 11.0


def test_a_reading_of_bad_quality_is_not_the_current_value(store: TelemetryStore) -> None:
    store.write_readings(3, 1, [reading(0, 10.0), reading(15, 500.0)])
    store.write_readings(3, 2, [reading(15, 500.0, quality="bad", revision=1)])
    store.write_readings(3, 3, [reading(30, None, kwh_total=None, quality="missing")])
    (current,) = store.current(["fac-001"])
    assert (current.kw, current.measured_at) == (10.0, T0)
    assert store.newest_reading_at("fac-001") == T0 + timedelta(seconds=30)


def test_an_older_sequence_does_not_move_the_position_back(store: TelemetryStore) -> None:
    store.write_readings(3, 7, [reading(0)])
    store.write_readings(3, 5, [reading(15)])
    assert (store.position(3), store.position(4)) == (7, 0)


def test_meters_with_the_same_id_in_two_facilities_are_two_meters(store: TelemetryStore) -> None:
    assert store.write_readings(0, 1, [reading(0, 10.0), reading(0, 20.0, facility="fac-002")]) == 2
    assert [c.kw for c in store.current(["fac-002", "fac-001"])] == [20.0, 10.0]


def test_an_interval_is_the_sum_over_meters_of_their_means(store: TelemetryStore) -> None:
    store.write_readings(0, 1, [*every_15_s(0, 900, 10.0), *every_15_s(0, 450, 4.0, meter="m2")])
    store.write_readings(0, 2, every_15_s(450, 900, 8.0, meter="m2"))
    assert hour_of(store)[0] == pytest.approx(16.0)
    assert coverage(store, "fac-001", TimeWindow(T0, T0 + timedelta(minutes=15))) == pytest.approx(100.0)


def test_an_interval_is_missing_if_one_of_its_meters_is_silent(store: TelemetryStore) -> None:
    both = [*every_15_s(0, 900, 10.0), *every_15_s(0, 900, 4.0, meter="m2")]
    store.write_readings(0, 1, [*both, *every_15_s(900, 1800, 10.0)])
    values = hour_of(store)
    assert values[0] == pytest.approx(14.0)
    assert np.isnan(values[1])
    assert (
        50.0
        <= coverage(store, "fac-001", TimeWindow(T0 + timedelta(minutes=15), T0 + timedelta(minutes=30)))
        < 60
    )


def test_a_late_reading_corrects_its_interval(store: TelemetryStore) -> None:
    on_time = [r for r in every_15_s(0, 1800, 10.0) if r.ts != T0 + timedelta(seconds=150)]
    store.write_readings(0, 1, on_time)
    assert hour_of(store)[:2] == pytest.approx([10.0, 10.0])
    store.write_readings(0, 2, [reading(150, 70.0)])
    assert hour_of(store)[:2] == pytest.approx([11.0, 10.0])


def test_the_order_of_arrival_does_not_matter(store: TelemetryStore) -> None:
    parts = [every_15_s(0, 600, 10.0), every_15_s(600, 1_200, 20.0), every_15_s(1_200, 1_800, 60.0)]
    outcomes = []
    for number, order in enumerate(permutations(parts)):
        facility = f"fac-{number}"
        for part in order:
            moved = [MeterReading(facility, r.meter_id, r.ts, r.kw, r.kwh_total) for r in part]
            store.write_readings(0, 1, moved)
        block = store.interval_series_of([facility], HOUR)
        outcomes.append(
            (block.mean_kw.tolist(), block.coverage_pct.tolist(), store.current([facility])[0].kw)
        )
    assert all(repr(outcome) == repr(outcomes[0]) for outcome in outcomes)
    assert outcomes[0][0][0][:2] == pytest.approx([40 / 60 * 10 + 20 / 60 * 20, 20 / 60 * 20 + 40 / 60 * 60])


def test_an_interval_with_low_coverage_counts_as_missing(store: TelemetryStore) -> None:
    store.write_readings(0, 1, every_15_s(0, 150, 10.0))
    block = store.interval_series_of(["fac-001"], HOUR)
    assert np.isnan(block.mean_kw[0, 0])
    assert 15.0 < block.coverage_pct[0, 0] < 50.0


def test_readings_every_five_minutes_cover_their_intervals(store: TelemetryStore) -> None:
    store.write_readings(0, 1, [reading(s, 10.0) for s in range(0, 3_600, 300)])
    assert hour_of(store) == pytest.approx([10.0] * 4)
    assert coverage(store, "fac-001", HOUR) == pytest.approx(100.0)


def test_readings_without_power_count_by_their_register(store: TelemetryStore) -> None:
    store.write_readings(
        0, 1, [reading(s, None, kwh_total=500 + s * 20 / 3600, incomplete=True) for s in range(0, 900, 15)]
    )
    assert hour_of(store)[0] == pytest.approx(20.0)
    current = store.current(["fac-001"])[0]
    assert current.kw is None
    assert current.meters[0].kwh_total == pytest.approx(500 + 885 * 20 / 3600)


def test_the_current_value_is_the_newest_in_any_order_of_arrival(store: TelemetryStore) -> None:
    store.write_readings(0, 1, [reading(60, 30.0), reading(75, 4.0, meter="m2")])
    store.write_readings(0, 2, [reading(30, 99.0), reading(90, None, kwh_total=1.0)])
    current = store.current(["nobody", "fac-001"])
    assert [(c.facility_id, c.kw, c.measured_at) for c in current] == [
        ("fac-001", 34.0, T0 + timedelta(seconds=60))
    ]
    assert store.newest_reading_at("fac-001") == T0 + timedelta(seconds=90)


def test_a_meter_silent_for_a_day_is_excluded_from_the_sum(store: TelemetryStore) -> None:
    store.write_readings(0, 1, [reading(0, 30.0, meter="old"), reading(90_000, 4.0)])
    assert store.current(["fac-001"])[0].kw == 4.0


def test_imported_history_is_read_back_with_its_temperatures(store: TelemetryStore) -> None:
    rows = [("a", 0, 900, 40.0, 21.5), ("a", 900, 900, NAN, 22.0), ("b", 0, 900, 7.0, NAN)]
    outcome = store.import_intervals(history(rows))
    assert (outcome.added, outcome.changed, outcome.unchanged) == (3, 0, 0)
    block = store.interval_series_of(["b", "a"], HOUR)
    assert block.series("a").values[:2].tolist() == pytest.approx([40.0, NAN], nan_ok=True)
    assert block.temperatures("a").values[:2].tolist() == [21.5, 22.0]
    assert block.series("b").values[0] == 7.0
    assert block.coverage_pct[1].tolist() == [100.0, 0.0, 0.0, 0.0]
    assert store.newest_readings_at(["a", "b", "c"]) == {
        "a": T0 + timedelta(seconds=900),
        "b": T0 + timedelta(seconds=900),
    }


def test_a_repeated_import_changes_nothing(store: TelemetryStore) -> None:
    rows = [("a", 0, 900, 40.0, 21.3), ("a", 900, 900, NAN, NAN)]
    store.import_intervals(history(rows))
    again = store.import_intervals(history(rows))
    assert (again.added, again.changed, again.unchanged) == (0, 0, 2)
    corrected = store.import_intervals(history([("a", 0, 900, 41.0, NAN), ("a", 900, 900, NAN, NAN)]))
    assert (corrected.added, corrected.changed, corrected.unchanged) == (0, 1, 1)
    block = store.interval_series_of(["a"], HOUR)
    assert block.mean_kw[0, 0] == 41.0
    assert block.temp_c[0, 0] == pytest.approx(21.3)


@pytest.mark.parametrize("import_first", [True, False])
def test_meter_readings_win_over_imported_history(store: TelemetryStore, import_first: bool) -> None:
    imported = history([("fac-001", 0, 900, 40.0, 21.0), ("fac-001", 900, 900, 40.0, 21.0)])
    if import_first:
        store.import_intervals(imported)
    store.write_readings(0, 1, [*every_15_s(0, 900, 10.0), *every_15_s(900, 1_000, 10.0)])
    if not import_first:
        store.import_intervals(imported)
    block = store.interval_series_of(["fac-001"], HOUR)
    # The meter covers little of the second interval, so the imported history counts.
    assert block.mean_kw[0, :2].tolist() == pytest.approx([10.0, 40.0])
    assert block.temp_c[0, :2].tolist() == [21.0, 21.0]


def test_hourly_history_is_expanded_to_quarter_hours_and_marked(store: TelemetryStore) -> None:
    store.import_intervals(history([("a", 0, 3600, 40.0, 20.0), ("a", 900, 900, 50.0, NAN)]))
    block = store.interval_series_of(["a"], HOUR)
    assert block.mean_kw[0].tolist() == [40.0, 50.0, 40.0, 40.0]
    assert block.expanded[0].tolist() == [True, False, True, True]
    assert block.temp_c[0].tolist() == [20.0] * 4
    half = TimeWindow(T0 + timedelta(minutes=30), T0 + timedelta(minutes=60))
    assert interval_series(store, "a", half).values.tolist() == [40.0, 40.0]


def test_quarters_are_averaged_into_an_hour_only_if_all_are_present(store: TelemetryStore) -> None:
    store.import_intervals(history([("a", s, 900, 10.0 + s / 900, NAN) for s in range(0, 6_300, 900)]))
    two_hours = TimeWindow(T0, T0 + timedelta(hours=2))
    values = interval_series(store, "a", two_hours, 3600).values
    assert values[0] == pytest.approx(11.5)
    assert np.isnan(values[1])


def test_a_window_that_is_not_a_multiple_of_the_step_is_refused(store: TelemetryStore) -> None:
    with pytest.raises(NotAligned):
        interval_series(store, "a", TimeWindow(T0, T0 + timedelta(minutes=20)))


def test_invalid_rows_are_refused_and_nothing_is_stored(store: TelemetryStore) -> None:
    with pytest.raises(ReadingsRefused):
        store.write_readings(2, 9, [reading(0), reading(15, meter="m\0")])
    assert store.current(["fac-001"]) == []
    assert store.position(2) == 0
    with pytest.raises(ReadingsRefused):
        store.import_intervals(history([("a", 0, 900, 1.0, NAN), ("a", 0, 900, 2.0, NAN)]))
    with pytest.raises(ReadingsRefused):
        store.import_intervals(history([("a", 0, 0, 1.0, NAN)]))


def test_readings_of_many_days_are_stored(store: TelemetryStore) -> None:
    store.prepare_days(T0, T0 + timedelta(days=2))
    assert store.write_readings(0, 1, [reading(day * 86_400) for day in range(-3, 4)]) == 7

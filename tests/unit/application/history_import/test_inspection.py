"""Inspection of a readings file: anomalies are detected, described and counted; ordinary rows are not."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.readings_file import open_readings_file
from application.history_import.inspection import MAX_LISTED, Finding, InspectedFacility, inspect_readings
from application.ports.history_import import OnRead, ReadingsFile
from tests.green_button import Feed, Interval, Meter, Point, seconds

Row = tuple[datetime, float | None]
Inspect = Callable[..., InspectedFacility]
MIDSUMMER = datetime(2026, 7, 14, tzinfo=UTC)
CLOCKS_BACK = datetime(2026, 10, 25, tzinfo=UTC)
"""Clocks in London change at 01:00 UTC."""
CLOCKS_FORWARD = datetime(2026, 3, 29, tzinfo=UTC)


def inspect_file(
    file: ReadingsFile,
    facility_ids: Sequence[str] | None = None,
    on_read: OnRead = lambda _rows: None,
) -> tuple[InspectedFacility, ...]:
    with file.ordered(facility_ids, on_read=on_read) as ordered:
        return inspect_readings(file, ordered)


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    """Inspect rows of one facility in London."""

    def written_and_inspected(rows: Sequence[Row]) -> InspectedFacility:
        lines = [f"a,{at.isoformat()},{'' if load is None else load}" for at, load in rows]
        (tmp_path / "load.csv").write_text("\n".join(["facility,timestamp,load_kwh", *lines]) + "\n")
        (tmp_path / "facilities.csv").write_text("facility,tz\na,Europe/London\n")
        (found,) = inspect_file(open_readings_file(tmp_path / "load.csv"))
        return found

    return written_and_inspected


def ordinary(start: datetime = MIDSUMMER, *, days: int = 3, step_min: int = 15) -> list[Row]:
    """A load with a daily shape and some noise."""
    draw = np.random.default_rng(7)
    count = days * 24 * 60 // step_min
    hours = np.arange(count) * step_min / 60
    load = 10 + 4 * np.sin(2 * np.pi * (hours - 9) / 24) + draw.normal(0, 0.4, count)
    return [(start + timedelta(minutes=step_min * n), round(float(load[n]), 3)) for n in range(count)]


def of(found: InspectedFacility, kind: str) -> list[Finding]:
    return [one for one in found.findings if one.kind == kind]


def test_an_ordinary_load_has_no_anomaly(inspect: Inspect) -> None:
    found = inspect(ordinary())
    assert (found.findings, found.counts, found.qualities) == ((), {}, {})
    assert (found.rows, found.step_s, found.empty) == (288, 900, 0)
    assert (found.starts_at, found.ends_at) == (MIDSUMMER, MIDSUMMER + timedelta(days=3))


def test_a_gap_is_reported_with_its_start_and_end(inspect: Inspect) -> None:
    rows = ordinary()
    found = inspect([*rows[:100], *rows[104:]])
    (gap,) = of(found, "gap")
    assert (gap.starts_at, gap.ends_at, gap.rows) == (rows[100][0], rows[104][0], 4)
    assert found.counts == {"gap": 1}


def test_duplicates_are_reported_with_their_line_and_whether_the_values_agree(inspect: Inspect) -> None:
    rows = ordinary()
    found = inspect([*rows, rows[5], (rows[9][0], 99.0)])
    same, other = of(found, "duplicate")
    assert (same.line, same.detail) == (290, "with the same value")
    assert other.line == 291
    assert "and 99 kWh" in other.detail
    assert found.counts == {"duplicate": 2}


def test_an_hour_repeated_when_clocks_go_back_is_reported_separately(inspect: Inspect) -> None:
    rows = ordinary(CLOCKS_BACK - timedelta(days=1))
    twice = [(at, 11.5) for at, _ in rows if at.date() == CLOCKS_BACK.date() and at.hour == 1]
    found = inspect([*rows, *twice])
    assert [one.starts_at.hour for one in of(found, "dst double")] == [1] * 4
    assert "are these local times?" in of(found, "dst double")[0].detail
    assert found.counts == {"dst double": 4}


def test_an_hour_missing_when_clocks_go_forward_is_reported_separately(inspect: Inspect) -> None:
    rows = [
        row
        for row in ordinary(CLOCKS_FORWARD - timedelta(days=1))
        if not (row[0].date() == CLOCKS_FORWARD.date() and row[0].hour == 1)
    ]
    assert inspect(rows).counts == {"dst gap": 1}


def test_two_hours_in_one_when_clocks_go_back_are_reported(inspect: Inspect) -> None:
    rows = [
        (at, load if at != CLOCKS_BACK + timedelta(hours=1) else 2 * (load or 0))
        for at, load in ordinary(CLOCKS_BACK - timedelta(days=3), days=7, step_min=60)
    ]
    (doubled,) = of(inspect(rows), "dst hour doubled")
    assert doubled.starts_at == CLOCKS_BACK + timedelta(hours=1)


def test_a_spike_is_reported_and_a_step_is_not(inspect: Inspect) -> None:
    rows = ordinary()
    rows[120] = (rows[120][0], 250.0)
    (spike,) = of(inspect(rows), "spike")
    assert (spike.starts_at, spike.line, spike.detail) == (rows[120][0], 122, "250 kWh")
    stepped = [(at, (load or 0) + (30 if n > 140 else 0)) for n, (at, load) in enumerate(ordinary())]
    assert inspect(stepped).counts == {}


def test_long_flat_lines_and_days_of_zero_are_reported_and_short_ones_are_not(inspect: Inspect) -> None:
    rows = ordinary(days=5)
    for n in range(50, 80):
        rows[n] = (rows[n][0], 7.0)
    for n in range(150, 250):
        rows[n] = (rows[n][0], 0.0)
    for n in range(300, 310):
        rows[n] = (rows[n][0], 5.0)
    found = inspect(rows)
    (flat,), (zero,) = of(found, "flat"), of(found, "zero")
    assert (flat.starts_at, flat.rows, flat.detail) == (rows[50][0], 30, "7 kWh in every step")
    assert (zero.starts_at, zero.ends_at, zero.rows) == (rows[150][0], rows[250][0], 100)


def test_a_negative_value_is_reported_unless_the_file_contains_fed_in_energy(
    inspect: Inspect, tmp_path: Path
) -> None:
    rows = ordinary()
    rows[30:33] = [(at, -2.5) for at, _ in rows[30:33]]
    (negative,) = of(inspect(rows), "negative")
    assert (negative.rows, negative.detail) == (3, "down to -2.5 kWh; generation?")
    start = seconds(2026, 7, 14)
    delivered = Meter([[Interval(start + 900 * n, 1_000 + 7 * n) for n in range(40)]])
    fed_in = Meter([[Interval(start + 900 * n, 1_500) for n in range(40)]], direction=19)
    feed = Feed([Point([delivered, fed_in])]).write(tmp_path / "usage.xml")
    (found,) = inspect_file(open_readings_file(feed))
    assert found.counts == {}


def test_quality_flags_of_a_feed_are_counted(tmp_path: Path) -> None:
    start = seconds(2026, 7, 14)
    intervals = [Interval(start + 900 * n, 1_000 + n, quality="8" if n < 3 else "12") for n in range(5)]
    feed = Feed([Point([Meter([intervals])])]).write(tmp_path / "usage.xml")
    (found,) = inspect_file(open_readings_file(feed))
    assert (found.qualities, found.empty, found.step_s) == ({"estimated": 3, "projected": 2}, 2, 900)


def test_the_list_of_findings_is_limited_and_all_are_counted(inspect: Inspect) -> None:
    found = inspect([row for n, row in enumerate(ordinary(days=6)) if n % 5])
    assert found.counts == {"gap": 114}
    assert len(found.findings) == MAX_LISTED


def test_a_file_with_one_row_or_no_row_is_inspected(inspect: Inspect, tmp_path: Path) -> None:
    assert inspect(ordinary()[:1]).findings == ()
    assert inspect_file(open_readings_file(tmp_path / "load.csv"), facility_ids=["nobody"]) == ()


def test_the_number_of_rows_read_is_reported(inspect: Inspect, tmp_path: Path) -> None:
    inspect(ordinary())
    told: list[int] = []
    inspect_file(open_readings_file(tmp_path / "load.csv"), on_read=told.append)
    assert told == [288]

"""Rows of unknown facilities, and of intervals that are not over, are refused before anything is stored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.readings_file import CsvReadingsFile
from application.history_import.admission import MOST_NAMED, Admission
from application.history_import.importer import HistoryReport, import_history
from application.ports.history_import import FutureRows, UnknownFacilities
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.portfolio_ids import portfolio_ids

T0 = datetime(2026, 7, 14, tzinfo=UTC)
STEP = timedelta(minutes=15)


def imported(path: Path, admission: Admission) -> tuple[HistoryReport, FakeTelemetryStore]:
    store = FakeTelemetryStore()
    with CsvReadingsFile(path, batch_rows=3).ordered() as ordered:
        return import_history(ordered, store, admission=admission), store


def refused(path: Path, admission: Admission) -> str:
    store = FakeTelemetryStore()
    begun: list[HistoryReport] = []
    with (
        CsvReadingsFile(path, batch_rows=3).ordered() as ordered,
        pytest.raises((UnknownFacilities, FutureRows)) as error,
    ):
        import_history(ordered, store, admission=admission, on_begin=begun.append)
    assert (store.imported, begun) == ({}, [])
    return str(error.value)


def written(path: Path, facility_ids: list[str], rows: int = 8) -> Path:
    """`rows` quarter-hours of each facility from T0 on, the newest ones first."""
    lines = [
        f"{one},{(T0 + STEP * number).isoformat()},{number + 1}"
        for one in facility_ids
        for number in reversed(range(rows))
    ]
    path.write_text("\n".join(["facility,timestamp,load_kwh", *lines]) + "\n")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "load.csv"


def test_strangers_are_counted_and_the_first_named_with_what_may_have_been_meant(path: Path) -> None:
    strangers = [f"s-{number:02}" for number in range(MOST_NAMED + 2)]
    written(path, ["new-sitee", "known", *strangers], rows=2)
    portfolio = portfolio_ids("known", "new-site").unknown_facilities
    text = refused(path, Admission(T0 + timedelta(days=1), portfolio))
    assert (
        f"{MOST_NAMED + 3} facilities are not in the portfolio: new-sitee (did you mean new-site?), s-00"
        in text
    )
    assert "s-08, ...; correct the file" in text
    report, store = imported(path, Admission(T0 + timedelta(days=1), portfolio, allows_unknown=True))
    assert report.unknown_facilities == ("new-sitee", *strangers)
    assert len(store.imported) == report.rows == report.added


def test_an_interval_that_is_not_over_is_in_the_future(path: Path) -> None:
    written(path, ["a", "b"])
    every_row = T0 + 8 * STEP
    assert imported(path, Admission(every_row, None))[0].added == 16
    late = Admission(every_row - timedelta(minutes=2), None)
    assert (
        "load.csv:2: 2 rows are of intervals that are not over at 2026-07-14 01:58Z, on lines 2, 10, of a, b;"
        in (refused(path, late))
    )
    assert refused(path, Admission(T0 + 7 * STEP, lambda _: {}, allows_unknown=True)).startswith(
        f"{path}:2: 2 rows"
    )


def test_of_many_future_rows_the_first_lines_are_named(path: Path) -> None:
    written(path, ["a", "b"], rows=MOST_NAMED)
    text = refused(path, Admission(T0, None))
    assert "20 rows are of intervals that are not over" in text
    assert "on lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..., of a, b; is a date mistyped?" in text

"""A file is checked as a whole and stored in parts. Repeating an interrupted import completes it."""

import resource
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from adapters.readings_file import CsvReadingsFile
from adapters.readings_file.ordering import sort_file
from application.history_import import importer
from application.history_import.importer import check_import, import_history
from application.ports.history_import import (
    DuplicateReading,
    FileChanged,
    IrregularStep,
    NoRoomToSort,
    UnreadableFile,
)
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome, TelemetryStoreUnavailable
from tests.fakes.telemetry.store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, tzinfo=UTC)
Write = Callable[[Sequence[str]], Path]
ROWS = [f"{name},2026-07-14T{n:02}:00:00Z,{n}.5" for n in range(10) for name in ("a", "b")]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(rows: Sequence[str]) -> Path:
        path = tmp_path / "load.csv"
        path.write_text("\n".join(["facility,timestamp,load_kwh", *rows]) + "\n")
        return path

    return written


class StopsAfter(FakeTelemetryStore):
    """Accepts the given number of imports and is then unavailable."""

    imports = 3

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        self.available = self.imports > 0
        self.imports -= 1
        return super().import_intervals(intervals, import_id)


def in_pieces(path: Path, rows: int = 2) -> CsvReadingsFile:
    return CsvReadingsFile(path, batch_rows=rows)


def test_repeating_an_interrupted_import_completes_it_and_reports_the_rows_stored_before(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole, store = write(ROWS), FakeTelemetryStore(), StopsAfter()
    monkeypatch.setattr(importer, "ROWS_AT_ONCE", 4)
    pieces = sort_file(path, in_pieces(path).batches(), lambda _rows: None, chunk_rows=4)
    with pieces as ordered:
        told: list[tuple[int, int]] = []
        with pytest.raises(TelemetryStoreUnavailable):
            import_history(ordered, store, on_progress=lambda *progress: told.append(progress))
        stored = len(store.imported)
        assert 0 < stored == told[-1][0] < told[-1][1] == 20
        store.imports, store.available = 99, True
        again = import_history(ordered, store)
        assert import_history(ordered, whole).added == 20
    assert (again.added, again.changed, again.unchanged) == (20 - stored, 0, stored)
    assert store.imported == whole.imported


def test_what_was_exported_is_imported_as_the_very_same_power(write: Write) -> None:
    """An export has the energy of a quarter-hour, a fourth of its mean power."""
    powers_kw = [n / 7 + 0.1 for n in range(2_000)]
    rows = [
        f"a,{T0 + n * timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ},{kw * 0.25!r}"
        for n, kw in enumerate(powers_kw)
    ]
    store = FakeTelemetryStore()
    path = write(rows)
    with sort_file(path, in_pieces(path, 500).batches(), lambda _rows: None) as ordered:
        import_history(ordered, store)
    assert [kw for kw, _ in store.imported.values()] == powers_kw


@pytest.mark.parametrize("chunk_rows", range(1, 7))
def test_a_duplicate_is_refused_at_any_chunk_boundary(write: Write, chunk_rows: int) -> None:
    path, store = write([*ROWS, "a,2026-07-14T03:00:00Z,9"]), FakeTelemetryStore()
    pieces = sort_file(path, in_pieces(path, chunk_rows).batches(), lambda _rows: None, chunk_rows=chunk_rows)
    with (
        pieces as ordered,
        pytest.raises(
            DuplicateReading, match=r"a has another row for 2026-07-14T03:00:00.* on line 8"
        ) as refused,
    ):
        import_history(ordered, store)
    assert refused.value.line == 22
    assert store.imported == {}


def test_nothing_of_a_refused_file_is_stored(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = write([*ROWS, "b,2026-07-14T12:20:00Z,9"]), FakeTelemetryStore()
    monkeypatch.setattr(importer, "ROWS_AT_ONCE", 2)
    with (
        in_pieces(path).ordered() as ordered,
        pytest.raises(IrregularStep, match=r"b at .* is off its steps"),
    ):
        import_history(ordered, store)
    assert store.imported == {}


def test_a_file_that_changes_before_it_is_stored_is_refused_except_in_a_dry_run(write: Write) -> None:
    path, store = write(ROWS), FakeTelemetryStore()
    with in_pieces(path).ordered() as ordered:
        write([*ROWS, "a,2026-07-14T11:00:00Z,9"])
        assert check_import(ordered).rows == 20
        with pytest.raises(FileChanged, match=r"load.csv: has changed since its first row was read"):
            import_history(ordered, store)
        path.unlink()
        with pytest.raises(UnreadableFile, match="cannot be read"):
            import_history(ordered, store)
    assert store.imported == {}


def test_a_file_that_changes_while_it_is_read_is_refused(write: Write) -> None:
    path = write(ROWS)

    def more(_rows: int) -> None:
        with path.open("a") as file:
            file.write("a,2026-07-14T11:00:00Z,9\n")

    with pytest.raises(FileChanged), in_pieces(path).ordered(on_read=more):
        pass


def test_a_replaced_file_is_refused(write: Write, tmp_path: Path) -> None:
    path = write(ROWS)
    with in_pieces(path).ordered() as ordered:
        (tmp_path / "other.csv").write_bytes(path.read_bytes())
        (tmp_path / "other.csv").replace(path)
        with pytest.raises(FileChanged):
            ordered.refuse_if_changed()


def test_rows_can_be_iterated_repeatedly(write: Write) -> None:
    path = write(ROWS)
    with in_pieces(path).ordered(["b"]) as ordered:
        assert ordered.facility_ids == ("b",)
        times = [[batch.load_kwh.tolist() for batch in ordered.rows_of("b")] for _ in range(2)]
    assert times[0] == times[1] == [[n + 0.5 for n in range(10)]]


def test_a_full_disk_during_sorting_refuses_the_file_by_name(write: Write) -> None:
    path = write([f"a,{T0 + timedelta(minutes=n):%Y-%m-%dT%H:%MZ},1" for n in range(25_000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))  # like a full disk
    try:
        with (
            pytest.raises(NoRoomToSort, match=r"load.csv: cannot be put in order in /"),
            in_pieces(path).ordered(),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

"""An import of history that does not reach its end is recorded nevertheless (principle 8)."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from application.history_import import importer
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome, TelemetryStoreUnavailable
from domain.administration import AdministrativeAct
from interfaces import bootstrap
from interfaces.cli.telemetry import commands
from projections.audit.act_descriptions import act_text
from tests.fakes.access.operators import FakeOperators
from tests.fakes.clock import FakeClock
from tests.fakes.operations.act_log import FakeActLog
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.portfolio_ids import portfolio_ids

CSV = b"facility,timestamp,load_kwh\n" + b"".join(
    b"%s,2026-07-14T%02d:00:00Z,10\n" % (facility, hour) for facility in (b"a", b"b") for hour in range(3)
)


class Store(FakeTelemetryStore):
    """Goes away after `parts` parts of an import."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self._parts = parts

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        if not self._parts:
            raise TelemetryStoreUnavailable("away")
        self._parts -= 1
        return super().import_intervals(intervals, import_id)


class FullLog(FakeActLog):
    def record(self, acts: Sequence[AdministrativeAct]) -> int:
        raise OperationsUnavailable("no room")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(importer, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(commands, "open_readings", open_readings_file)
    (path := tmp_path / "load.csv").write_bytes(CSV)
    return path


def imported(file: Path, store: Store, log: FakeActLog, monkeypatch: pytest.MonkeyPatch) -> Result:
    @contextmanager
    def opened() -> Iterator[Any]:
        yield SimpleNamespace(
            telemetry=lambda: store,
            act_log=lambda: log,
            operators=FakeOperators,
            clock=FakeClock(),
            decision_clock=FakeClock(),
        )

    monkeypatch.setattr(commands, "opened_stores", opened)
    monkeypatch.setattr(bootstrap, "seal_imported_history", lambda *_: None)
    imports = FakeImportedHistory(store, FakeTelemetryRollups(store, FakeClock()))
    monkeypatch.setattr(bootstrap, "imported_history", lambda _stores: imports)
    monkeypatch.setattr(bootstrap, "portfolio_ids", lambda _stores: portfolio_ids("a", "b"))
    return CliRunner().invoke(commands.telemetry_group, ["import", str(file)])


def test_an_import_is_recorded_before_its_first_row_and_with_its_counts_after_the_last(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = FakeActLog(), Store(parts=1)
    assert imported(file, store, log, monkeypatch).exit_code == 1
    assert {facility_id for facility_id, *_ in store.imported} == {"a"}
    [begun] = log.recorded.values()
    assert isinstance(begun, AdministrativeAct.HistoryImportBegun)
    assert (begun.facility_ids, begun.file_sha256) == (("a", "b"), hashlib.sha256(CSV).hexdigest())
    assert act_text(begun).startswith("import of history of 2 facilities begun: a, b (SHA-256 of the file ")

    log, again = FakeActLog(), Store(parts=2)
    again.imported = dict(store.imported)
    assert imported(file, again, log, monkeypatch).exit_code == 0
    begun, ended = log.recorded.values()
    assert isinstance(ended, AdministrativeAct.HistoryImported)
    assert (ended.intervals, ended.changed, ended.facilities) == (3, 0, 2)
    assert ended.correlation_id == begun.correlation_id


def test_an_import_that_cannot_be_recorded_stores_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(parts=2)
    result = imported(file, store, FullLog(), monkeypatch)
    assert result.exit_code == 1
    assert store.imported == {}

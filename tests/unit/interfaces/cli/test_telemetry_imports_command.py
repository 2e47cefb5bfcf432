"""`gridproof telemetry imports` on the fakes: what failed is named, and the exit status says so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import numpy as np
import pytest
from click.testing import CliRunner, Result

from application.ports.telemetry.imported_history import ImportSpan, NewImport
from application.ports.telemetry.store import ImportedIntervals
from interfaces.cli.telemetry import imports as command
from interfaces.cli.telemetry.imports import OpenedImports, imports_group
from tests.fakes.clock import FakeClock
from tests.fakes.operations.act_log import FakeActLog
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.sample_values import NOW, provenance

IMPORT = UUID(int=0xABCDEF0123456789 << 64)
TAKE_BACK = ("take-back", str(IMPORT)[:8], "--reason", "of another year")


class System:
    def __init__(self) -> None:
        self.store, self.failing = FakeTelemetryStore(), {"b"}
        rollups = FakeTelemetryRollups(self.store, FakeClock(NOW))
        self.imports = FakeImportedHistory(self.store, rollups)
        spans = tuple(
            ImportSpan(facility_id=one, step_s=900, starts_at=NOW, ends_at=NOW, rows=1) for one in "abc"
        )
        self.imports.begin(
            NewImport(import_id=IMPORT, begun_at=NOW, begun_by="me", file_sha256="f" * 64, spans=spans)
        )
        for number, one in enumerate("abc"):
            rows = (np.zeros(1, dtype=np.int64), np.array([int(NOW.timestamp())]), np.array([900]))
            self.store.import_intervals(
                ImportedIntervals((one,), *rows, np.array([float(number)]), np.array([np.nan])), IMPORT
            )

    def seal(self, span: ImportSpan) -> None:
        if span.facility_id in self.failing:
            raise ValueError("its stream is broken")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made, acts = System(), FakeActLog()

    @contextmanager
    def opened() -> Iterator[OpenedImports]:
        yield OpenedImports(
            made.imports, acts, lambda: provenance(NOW), lambda _provenance: ("abc", made.seal)
        )

    monkeypatch.setattr(command, "opened_imports", opened)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(imports_group, arguments)


def test_a_facility_that_fails_is_named_and_done_by_the_same_command_again(system: System) -> None:
    first = run(*TAKE_BACK)
    assert first.exit_code == 1
    assert "b is not done: its stream is broken; the same command again does the rest" in first.stderr
    assert system.store.imported == {}
    assert "1 of 3 facilities are left: take it back again" in run("list").stdout
    system.failing = set()
    second = run(*TAKE_BACK, "--json")
    assert second.exit_code == 0, second.output
    document = json.loads(second.stdout)
    assert (document["facilities_done"], document["facilities_failed"]) == (1, 0)
    assert [one["facility_id"] for one in document["facilities"]] == ["b"]
    assert "taken back at 2026-07-14 12:00Z" in run("list").stdout


def test_a_store_that_is_away_is_named_with_what_to_do(system: System) -> None:
    system.store.available = False
    result = run(*TAKE_BACK)
    assert result.exit_code == 1
    assert "the same command again does the rest" in result.stderr
    assert run("take-back", str(IMPORT)).exit_code == 2, "a reason is obligatory"


def test_every_command_has_an_example() -> None:
    for name in ("list", "take-back"):
        assert "gridproof telemetry imports" in run(name, "--help").output

"""`gridproof telemetry history` on fakes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from application.telemetry.load_history import HistorySources
from domain.telemetry.meter_reading import MeterReading
from interfaces.cli.telemetry.commands import telemetry_group
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, 11, 0, tzinfo=UTC)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeTelemetryStore:
    fake = FakeTelemetryStore()
    readings = [MeterReading("a", "m", T0 + timedelta(seconds=s), 12.0, None) for s in range(0, 1_800, 15)]
    fake.write_readings(0, 1, readings)

    @contextmanager
    def opened() -> Iterator[HistorySources]:
        yield HistorySources(fake, FakeTelemetryRollups(fake, FakeClock(T0)), FakeMeterPowers(fake))

    monkeypatch.setattr("interfaces.cli.telemetry.history.opened_sources", opened)
    return fake


def run(*arguments: str, last: str = "2026-07-14T12:00:00Z") -> Result:
    window = ("--from", "2026-07-14T11:00:00Z", "--to", last)
    return CliRunner().invoke(telemetry_group, ["history", "a", *window, *arguments])


@pytest.mark.parametrize(
    ("resolution", "count", "known"), [("15s", 240, 120), ("1m", 60, 30), ("15m", 4, 2), ("1h", 1, 0)]
)
def test_each_resolution_is_printed_as_json(
    store: FakeTelemetryStore, resolution: str, count: int, known: int
) -> None:
    result = run("--resolution", resolution, "--json")
    assert result.exit_code == 0, result.output
    steps = json.loads(result.stdout)["steps"]
    assert len(steps) == count
    # A reading is valid for four steps of 15 s.
    spoken_for = known + 3 if resolution == "15s" else known
    assert [step["mean_kw"] for step in steps] == [12.0] * spoken_for + [None] * (count - spoken_for)


def test_without_json_the_history_is_a_table(store: FakeTelemetryStore) -> None:
    result = run()
    assert "2026-07-14T11:15:00Z" in result.stdout
    assert "12.000" in result.stdout


def test_a_window_that_is_too_long_or_empty_is_a_usage_error(store: FakeTelemetryStore) -> None:
    too_long = run("--resolution", "15s", last="2026-07-16T11:00:00Z")
    assert (too_long.exit_code, "at most 24 h" in too_long.output) == (2, True)
    assert run(last="2026-07-14T11:00:00Z").exit_code == 2


def test_an_unreachable_store_is_reported(store: FakeTelemetryStore) -> None:
    store.available = False
    result = run()
    assert (result.exit_code, "ask again" in result.output) == (1, True)

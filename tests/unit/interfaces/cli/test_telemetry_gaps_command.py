"""`gridproof telemetry gaps` on fakes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from application.telemetry.reading_gaps import GapSources
from domain.telemetry.meter_reading import MeterReading
from interfaces.cli.telemetry.commands import telemetry_group
from interfaces.cli.telemetry.gaps import OpenedSources
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.meter_readings import FakeMeterReadings
from tests.fakes.telemetry.store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, 11, 0, tzinfo=UTC)
NOW = T0 + timedelta(hours=2)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeTelemetryStore:
    fake = FakeTelemetryStore()
    lost = {"main": {40, 41}, "sub": set[int](), "stray": set[int]()}
    fake.write_readings(
        0,
        1,
        [
            MeterReading("fac-001", meter_id, T0 + timedelta(seconds=15 * n), 12.0, None, 1_000 + n)
            for meter_id, without in lost.items()
            for n in range(480)
            if n not in without
        ],
    )
    listed = FakeListedMeters(
        {"fac-001": {"main", "sub"}, "fac-002": {"m"}, "large": [str(n) for n in range(2_000)]}
    )

    @contextmanager
    def opened() -> Iterator[OpenedSources]:
        sources = GapSources(FakeMeterReadings(fake), FakeClock(NOW), timedelta(days=90))
        yield OpenedSources(sources, listed)

    monkeypatch.setattr("interfaces.cli.telemetry.gaps.opened_sources", opened)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(telemetry_group, ["gaps", *arguments])


def of_two_hours(*arguments: str) -> Result:
    return run("--facility", "fac-001", "--from", T0.isoformat(), "--to", NOW.isoformat(), *arguments)


def test_json_names_what_is_missing_by_time_and_by_number(store: FakeTelemetryStore) -> None:
    result = of_two_hours("--json")
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)["facilities"]
    assert found["ends_at"] == "2026-07-14T12:59:00Z"  # newer ones may still be under way
    assert [(hour["missing"], hour["missing_seqs"]) for hour in found["hours"]] == [(2, 2), (0, 0)]
    main, sub = found["meters"]
    assert (main["meter_id"], sub["meter_id"], sub["gaps"]) == ("main", "sub", [])
    assert main["holes"] == [
        {
            "first_seq": 1_040,
            "last_seq": 1_041,
            "after": "2026-07-14T11:09:45Z",
            "before": "2026-07-14T11:10:30Z",
        }
    ]
    assert found["unlisted_meters"] == ["stray"]


def test_the_table_has_the_short_hours_and_their_meters(store: FakeTelemetryStore) -> None:
    lines = of_two_hours().stdout.splitlines()
    [row] = [line.split() for line in lines if "11:00Z" in line]
    assert row == ["fac-001", "2026-07-14", "11:00Z", "478", "2", "2", "0", "0", "main", "2"]
    assert any("does not list: stray" in line for line in lines)


def test_where_nothing_is_missing_it_says_so(store: FakeTelemetryStore) -> None:
    result = run("--facility", "fac-001", "--from", (T0 + timedelta(hours=1)).isoformat())
    assert "fac-001: nothing is missing of 2 meters" in result.stdout


def test_the_last_day_of_every_facility_is_the_default(store: FakeTelemetryStore) -> None:
    found = {one["facility_id"]: one for one in json.loads(run("--json").stdout)["facilities"]}
    assert found["fac-002"]["starts_at"] == "2026-07-13T12:00:00Z"
    assert sum(hour["missing"] for hour in found["fac-002"]["hours"]) == 240 * 25 - 4
    assert found["large"]["starts_at"] == "2026-07-14T07:00:00Z", "as long as one answer may be"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2026-07-01T00:00:00Z"), "at most 168 h"),
        (("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z"), "kept for 90 days"),
        (("--from", "2026-07-20T00:00:00Z"), "not over yet"),
    ],
)
def test_a_window_that_cannot_be_answered_says_why(
    store: FakeTelemetryStore, arguments: tuple[str, ...], said: str
) -> None:
    result = run("--facility", "fac-001", *arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_an_unknown_facility_or_an_unreachable_store_is_reported(store: FakeTelemetryStore) -> None:
    assert "no facility nobody" in run("--facility", "nobody").output
    store.available = False
    assert "ask again" in run("--facility", "fac-001").output

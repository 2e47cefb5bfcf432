"""`gridproof telemetry meters` on fakes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from application.ports.operations.act_log import AppliedMigration
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.cli import main
from interfaces.cli.telemetry.meters import OpenedMeters
from projections.audit.act_descriptions import act_text
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.telemetry.stored_meters import FakeStoredMeters

T0 = datetime(2026, 7, 14, 11, 0, tzinfo=UTC)
NOW = T0 + timedelta(hours=5)
REMOVE = ("--remove", "nosuchmeter", "--reason", "a typo")


class Acts:
    def __init__(self) -> None:
        self.recorded: list[AdministrativeAct] = []

    def record(self, acts: Sequence[AdministrativeAct]) -> int:
        self.recorded += acts
        return len(acts)

    def migrations(self) -> list[AppliedMigration]:
        return []


@dataclass
class World:
    """fac-001 lists `main` and `silent`; `nosuchmeter` has stored readings, too."""

    store: FakeTelemetryStore = field(default_factory=FakeTelemetryStore)
    acts: Acts = field(default_factory=Acts)

    def __post_init__(self) -> None:
        self.stored = FakeStoredMeters(self.store)
        self.listed = FakeListedMeters({"fac-001": {"main", "silent"}, "open": set()})
        self.rollups = FakeTelemetryRollups(self.store, FakeClock(NOW))
        partition = partition_of("fac-001")
        for meter_id, kw in (("main", 10.0), ("nosuchmeter", 50.0)):
            readings = [
                MeterReading("fac-001", meter_id, T0 + timedelta(seconds=15 * n), kw, None)
                for n in range(240)
            ]
            self.store.write_readings(partition, 1, readings)
        self.rollups.finalize(partition, limit=1_000)

    @contextmanager
    def opened(self) -> Iterator[OpenedMeters]:
        provenance = Provenance(
            recorded_at=NOW,
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="operator:cli/abc",
            tenant=None,
            trace_id="0" * 32,
        )
        yield OpenedMeters(self.stored, self.listed, self.rollups, self.acts, lambda: provenance)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["telemetry", "meters", *arguments])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr("interfaces.cli.telemetry.meters.opened_meters", world.opened)
    return world


def test_listed_meters_strays_and_last_readings_are_shown(world: World) -> None:
    found = json.loads(world.run("fac-001", "--json").stdout)["meters"]
    assert [(one["meter_id"], one["status"], one["kw"]) for one in found] == [
        ("main", "listed", 10.0),
        ("silent", "listed", None),
        ("nosuchmeter", "stray", 50.0),
    ]
    assert found[0]["newest_reading_at"] == "2026-07-14T11:59:45Z"
    text = world.run("fac-001").stdout
    assert "nosuchmeter is not in the portfolio" in text
    assert "silent is in the portfolio, and no reading of it is stored" in text


def test_a_stray_is_removed_as_a_correction_and_the_act_is_recorded(world: World) -> None:
    report = json.loads(world.run("fac-001", *REMOVE, "--json").stdout)
    assert (report["readings"], report["corrected"]) == (240, 4)
    [act] = [domain_event for act in world.acts.recorded for domain_event in act.collect_events()]
    assert isinstance(act, AdministrativeAct.MeterReadingsRemoved)
    assert act_text(act) == (
        "240 readings of meter nosuchmeter of facility fac-001 removed, "
        "measured from 2026-07-14 11:00:00Z to 2026-07-14 11:59:45Z"
    )
    assert {(one.old_mean_kw, one.new_mean_kw) for one in world.rollups.corrections[-4:]} == {(60.0, 10.0)}
    after = world.run("fac-001").stdout
    assert "not in the portfolio" not in after
    assert "readings of nosuchmeter were removed at 2026-07-14 16:00Z: a typo" in after


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fac-001", "--remove", "main", "--reason", "x"), "the portfolio lists main"),
        (("fac-001", "--remove", "other", "--reason", "x"), "no reading of a meter other"),
        (("fac-001", "--remove", "nosuchmeter", "--reason", " "), "a reason has 1 to 1000 characters"),
        (("open", "--remove", "m", "--reason", "x"), "lists no meters"),
        (("nobody", "--remove", "m", "--reason", "x"), "no facility nobody"),
        (("fac-001", "--remove", "nosuchmeter"), "go together"),
    ],
)
def test_what_is_not_removed_is_refused_with_the_reason(
    world: World, arguments: tuple[str, ...], said: str
) -> None:
    result = world.run(*arguments)
    assert (result.exit_code != 0, said in result.output) == (True, True), result.output
    assert not world.acts.recorded


def test_an_unreachable_store_is_reported(world: World) -> None:
    world.store.available = False
    assert "try again when the store is back" in world.run("fac-001").output

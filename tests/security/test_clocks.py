"""A wrong clock decides nothing and dates nothing into the future; a system keeps the clock it was started with."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner
from psycopg_pool import ConnectionPool

from adapters.clock import AcceleratedClock, SystemClock
from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from application.access.api_keys import issue
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.operations.clock_monitor import ClockMonitor, DecisionClock, Skew, SkewAlert, measure_skew
from application.operations.dead_letter_decisions import decision_act
from application.operations.system_clock import ClockMismatch
from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import IdempotencyRecord, SaveRequest
from application.ports.operations.dead_letters import DeadLetter
from domain.administration import AdministrativeAct
from domain.facility import Facility
from interfaces.bootstrap.clock import measuring
from interfaces.bootstrap.health.readiness import readiness_probes
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.cli.keys.commands import keys_group
from interfaces.readiness import ReadinessProbe
from interfaces.settings.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import CONTEXT, facility_entry, provenance
from tests.servers import Database

YEARS = timedelta(days=3_652)
HEAD = "SELECT count(*) FROM gridproof.demand_response_events"


def facility(facility_id: str, recorded_at: datetime) -> Facility:
    return Facility.register(
        provenance(recorded_at), facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )


@pytest.fixture
def store(database: Database) -> Iterator[PostgresEventStore]:
    opened = PostgresEventStore(DemandResponse, database.app_dsn, wall_time=SystemClock().wall_time)
    with closing(opened):
        yield opened


def test_a_clock_that_is_ten_years_ahead_cannot_save(store: PostgresEventStore) -> None:
    key = IdempotencyRecord("util-1", "n-1", "hash", b"{}")
    with pytest.raises(ClockSkewed, match="ahead of the database's clock"):
        store.save([facility("fac-001", datetime.now(UTC) + YEARS)], idempotency=key)
    assert store.head() == 0
    assert store.find_reply("util-1", "n-1") is None
    store.save([facility("fac-001", datetime.now(UTC))], idempotency=key)
    assert len(store.read_after(0, 10)) == 1


def test_of_saves_that_share_a_transaction_only_the_one_dated_ahead_is_refused(
    store: PostgresEventStore,
) -> None:
    now = datetime.now(UTC)
    moments = {
        "behind": now - YEARS,
        "right": now,
        "a little ahead": now + timedelta(seconds=2),
        "ahead": now + timedelta(minutes=10),
    }
    outcomes = store.save_each([SaveRequest([facility(name, at)]) for name, at in moments.items()])
    refused = [name for name, outcome in zip(moments, outcomes, strict=True) if outcome is not None]
    assert refused == ["ahead"]
    assert isinstance(outcomes[-1], ClockSkewed)
    assert len(store.read_after(0, 10)) == 3


def test_on_an_accelerated_clock_the_bound_is_in_wall_seconds(database: Database) -> None:
    clock = AcceleratedClock(epoch=datetime(2036, 7, 14, tzinfo=UTC), started_at=datetime.now(UTC), speed=360)
    with closing(
        PostgresEventStore(DemandResponse, database.app_dsn, wall_time=clock.wall_time)
    ) as accelerated:
        accelerated.save([facility("now", clock.now())])
        with pytest.raises(ClockSkewed):
            accelerated.save([facility("ahead", clock.now() + timedelta(hours=1) * 2)])


@pytest.mark.parametrize("speed", [1, 360])
def test_acts_dated_ahead_are_refused_with_what_they_are_about(database: Database, speed: float) -> None:
    clock = AcceleratedClock(epoch=datetime.now(UTC), started_at=datetime.now(UTC), speed=speed)
    right = clock.now()
    ahead = right + YEARS
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        keys, letters = PostgresApiKeys(pool, clock.wall_time), PostgresDeadLetters(pool, clock.wall_time)
        letters.park(letter := dead_letter(at=right))
        decide = partial(
            letters.decide, letter.dead_letter_id, status="discarded", by="operator:a", reason="r"
        )
        act_at = partial(decision_act, [letter.dead_letter_id], "discarded", by="operator:a")
        migration = AdministrativeAct.apply_migration(provenance(ahead), migration="1", applied_at=right)
        with pytest.raises(ClockSkewed, match="ahead of the database's clock"):
            issue(keys, role="admin", at=ahead, entropy=bytes(38))
        with pytest.raises(ClockSkewed):
            PostgresActLog(pool, clock.wall_time).record([migration])
        with pytest.raises(ClockSkewed):
            decide(at=ahead, act=act_at(at=ahead))
        assert (keys.listed(), letters.get(letter.dead_letter_id).status) == ([], "open")
        with psycopg.connect(database.app_dsn) as connection:
            assert connection.execute(HEAD.encode()).fetchone() == (0,)
        decide(at=right, act=act_at(at=right))
        issue(keys, role="admin", at=right, entropy=bytes(38))


def dead_letter(*, at: datetime) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=UUID(int=1), queue="callback", subject="util-1", reason="r", body=b"", parked_at=at
    )


def test_a_process_with_a_wrong_clock_issues_no_key(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) - timedelta(hours=1))
    monkeypatch.setenv("GRIDPROOF_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDPROOF_DATABASE_URL", database.app_dsn)
    refused = CliRunner().invoke(keys_group, ["create", "--role", "admin"])
    assert isinstance(refused.exception, ClockSkewed)
    assert "no keys yet" in CliRunner().invoke(keys_group, ["list"]).stderr


class Measured:
    """A measurement that a test sets."""

    def __init__(self, seconds: float) -> None:
        self.skew = Skew(seconds, 0.01)
        self.times = 0
        self.now = 0.0

    def __call__(self) -> Skew:
        self.times += 1
        return self.skew

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("seconds", [6.0, -6.0, 3.2e8])
def test_a_process_whose_clock_is_wrong_decides_nothing_until_it_is_right(seconds: float) -> None:
    measured, store, alerts = Measured(seconds), FakeEventStore(), FakeAlertRegistry()
    clock = FakeClock()
    monitor = ClockMonitor(
        measured, SkewAlert(alerts, clock, "host-1", "a process"), monotonic=measured.monotonic
    )
    bus = CommandBus(store, DecisionClock(clock, monitor), HANDLERS, forecasts=FakeForecastBook())
    command = RegisterFacility(entry=facility_entry())
    with pytest.raises(ClockSkewed, match="decides nothing"):
        bus.handle(command, CONTEXT)
    assert store.head() == 0
    assert [(alert.name, alert.subject) for alert in alerts.listed()] == [("clock_skewed", "host-1")]

    measured.skew = Skew(0.0, 0.01)
    with pytest.raises(ClockSkewed):
        bus.handle(command, CONTEXT)  # measured a moment ago
    measured.now += 10.0
    bus.handle(command, CONTEXT)
    assert (store.head() > 0, alerts.listed(), measured.times) == (True, [], 2)


def test_a_clock_is_confirmed_by_a_measurement_at_once() -> None:
    measured = Measured(0.0)
    monitor = ClockMonitor(measured, monotonic=measured.monotonic)
    monitor.check()
    measured.skew = Skew(3_600.0, 0.01)
    monitor.check()  # it was measured a moment ago
    with pytest.raises(ClockSkewed, match="decides nothing"):
        monitor.confirm()
    with pytest.raises(ClockSkewed):
        monitor.check()


def test_a_slow_answer_of_the_database_is_not_taken_for_a_wrong_clock() -> None:
    wall = datetime(2026, 7, 14, 12, tzinfo=UTC)
    ticks = iter([0.0, 60.0])
    skew = measure_skew(
        lambda: wall + timedelta(seconds=59), wall_now=lambda: wall, monotonic=lambda: next(ticks)
    )
    assert not skew.is_too_far
    assert Skew(5.5, 0.1).is_too_far


def test_no_decision_waits_for_a_measurement_while_the_monitor_runs() -> None:
    threads, now = set[str](), [0.0]

    def measure() -> Skew:
        time.sleep(0.05)
        threads.add(threading.current_thread().name)
        return Skew(0.0, 0.01)

    async def decide() -> None:
        monitor = ClockMonitor(measure, monotonic=lambda: now[0])
        async with measuring(monitor):
            assert monitor.skew is not None
            for _ in range(3):
                now[0] += 1_000.0
                monitor.check()

    asyncio.run(decide())
    assert threads == {"clock monitor"}


def test_the_last_measurement_counts_while_the_database_is_away() -> None:
    def away() -> Skew:
        raise OSError("no route to host")

    ClockMonitor(away).check()


def clock_probe(stores: Stores) -> ReadinessProbe:
    [probe] = [probe for probe in readiness_probes(stores) if probe.name == "clock"]
    return probe


async def checked(probe: ReadinessProbe) -> None:
    await probe.check()


def test_a_process_with_a_wrong_clock_is_not_ready(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.app_dsn)
    with closing(open_stores(settings, pool_size=2)) as stores:
        assert clock_probe(stores).needed
        asyncio.run(checked(clock_probe(stores)))
        monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + YEARS)
        monkeypatch.setattr(stores.clock_monitor, "_measured_at", None)
        with pytest.raises(ClockSkewed):
            asyncio.run(checked(clock_probe(stores)))
        assert [alert.name for alert in stores.alerts().listed()] == ["clock_skewed"]


@pytest.mark.parametrize("accelerated_first", [True, False])
def test_a_process_with_another_clock_than_the_first_start_is_refused(
    database: Database, tmp_path: Path, *, accelerated_first: bool
) -> None:
    own = Settings(data_dir=tmp_path, database_url=database.app_dsn)
    now = datetime.now(UTC)
    ahead = replace(own, clock_epoch=now + YEARS, clock_started_at=now, clock_speed=60.0)
    first, other = (ahead, own) if accelerated_first else (own, ahead)
    open_stores(other, pool_size=2).close()  # a command before the first start settles nothing
    open_stores(first, pool_size=2, is_start=True).close()
    open_stores(first, pool_size=2, is_start=True).close()
    with pytest.raises(ClockMismatch, match="GRIDPROOF_CLOCK_EPOCH"):
        open_stores(other, pool_size=2)
    with pytest.raises(ClockMismatch):
        open_stores(other, pool_size=2, is_start=True)
    for changed in (
        replace(ahead, clock_epoch=now),
        replace(ahead, clock_started_at=now - timedelta(days=1)),
        replace(ahead, clock_speed=61.0),
    ):
        with pytest.raises(ClockMismatch):
            open_stores(changed, pool_size=2)
    with psycopg.connect(database.app_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE gridproof.system_clock SET speed = 2")

"""The relay of an old release stops at an event of a newer one with an alert and skips nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from eventsourcing.utils import register_topic

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from adapters.postgres.operations.alerts import PostgresAlerts
from application.event_store import event_mapper
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from domain.dr_event import DREvent
from interfaces.workers.decide.guarded_log import (
    ALERT,
    HaltAtUnreadable,
    read_up_to_unreadable,
    run_again_when_readable,
)
from interfaces.workers.decide.relay import READER
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.in_process_system import InProcessSystem
from tests.integration.projections.stored_log import pool, store_entries
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import Database
from tests.unit.interfaces.workers.decide.test_repeats import relay_of

PATIENCE_S = 60.0
NEW_TOPIC = "dr-event.moon-phase-noted.v1"


class MoonPhaseNoted(DREvent.Event, frozen=True, kw_only=True):
    """A domain event of the newer release."""

    TOPIC: ClassVar[str] = NEW_TOPIC
    phase: str


def upgrade() -> None:
    register_topic(NEW_TOPIC, MoonPhaseNoted)
    event_mapper._decoding.cache_clear()


@pytest.fixture
def stored(database: Database) -> Iterator[tuple[PostgresEventStore, list[LogEntry], int]]:
    """A log with one unreadable domain event in the middle: (store, all entries, that position)."""
    walk = PortfolioWalk()
    for number in range(6):
        walk.accept(walk.open_dr_event(), number * 3)
    entries = walk.entries
    before, after = entries[: len(entries) // 2], entries[len(entries) // 2 :]
    position = before[-1].position + 1
    last = before[-1].domain_event
    noted = MoonPhaseNoted(
        originator_id=walk.dr_events[0].id,
        originator_version=walk.dr_events[0].version + 1,
        timestamp=last.recorded_at,
        correlation_id=last.correlation_id,
        causation_id=last.causation_id,
        actor=last.actor,
        tenant=last.tenant,
        trace_id=last.trace_id,
        phase="full",
    )
    whole = [
        *before,
        LogEntry(position, NEW_TOPIC, noted),
        *(LogEntry(entry.position + 1, entry.topic, entry.domain_event) for entry in after),
    ]
    store_entries(database.admin_dsn, whole)
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    yield store, whole, position
    store.close()


async def eventually(holds: Callable[[], bool], running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            assert not running.done(), running.result()
            await asyncio.sleep(0.01)


def test_the_relay_stops_at_the_exact_position_with_an_alert_and_continues_after_the_upgrade(
    database: Database, stored: tuple[PostgresEventStore, list[LogEntry], int]
) -> None:
    store, whole, unknown = stored
    world = InProcessSystem.accepted("fac-001")  # provides the bus and the queue; the log is the stored one
    followed: list[int] = []

    with pool(database.app_dsn) as connections:
        alerts, positions = PostgresAlerts(connections), PostgresReaderPositions(connections)
        log = HaltAtUnreadable(store, READER, positions, alerts, FakeClock())
        relay = relay_of(world, event_log=log, positions=positions, saga=Following(followed, whole))

        async def scenario() -> None:
            stop = asyncio.Event()
            old = asyncio.create_task(run_again_when_readable(relay.run, stop, log.halt, retry_s=0.05))
            await eventually(lambda: bool(open_alerts(alerts)), old)
            (detail,) = open_alerts(alerts)
            assert f"log entry {unknown} ({NEW_TOPIC}) cannot be read" in detail
            assert "upgrade this process" in detail
            last_readable = max(entry.position for entry in whole if entry.position < unknown)
            assert positions.position(READER) == last_readable
            assert sorted(set(followed)) == [e.position for e in whole if e.position < unknown]

            upgrade()
            await eventually(lambda: positions.position(READER) == whole[-1].position, old)
            await eventually(lambda: open_alerts(alerts) == [], old)
            stop.set()
            await old

        event_mapper._decoding.cache_clear()
        asyncio.run(scenario())
    assert sorted(set(followed)) == [entry.position for entry in whole]


class Following:
    """A saga that records the domain events and gives no commands."""

    def __init__(self, followed: list[int], whole: list[LogEntry]) -> None:
        self._followed = followed
        self._position = {
            (e.domain_event.originator_id, e.domain_event.originator_version): e.position for e in whole
        }

    def follow(self, domain_event: DREvent.Event) -> list[object]:
        place = (domain_event.originator_id, domain_event.originator_version)
        self._followed.append(self._position[place])
        return []


def open_alerts(alerts: PostgresAlerts) -> list[str]:
    return [alert.detail for alert in alerts.listed() if alert.name == ALERT]


class PartlyUnreadable:
    """A log of positions 1 to `head` with one unreadable entry; it returns whole batches or raises."""

    def __init__(self, head: int, unreadable: int) -> None:
        self._head, self._unreadable = head, unreadable

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        found = range(position + 1, min(position + limit, self._head) + 1)
        if self._unreadable in found:
            raise LogEntryUnreadable(self._unreadable, "x.y.v1", "unknown")
        return [LogEntry(number, "x.z.v1", None) for number in found]  # type: ignore[arg-type]  # not looked at

    def head(self) -> int:
        return self._head


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
@pytest.mark.parametrize("unreadable", [1, 2, 3, 8, 13])
def test_only_entries_before_the_unreadable_one_are_read_in_order(limit: int, unreadable: int) -> None:
    log, read = PartlyUnreadable(13, unreadable), [0]
    while read[-1] < unreadable - 1:
        read += [entry.position for entry in read_up_to_unreadable(log, read[-1], limit)]
    assert read == list(range(unreadable))
    with pytest.raises(LogEntryUnreadable, match=f"log entry {unreadable} "):
        read_up_to_unreadable(log, read[-1], limit)


def test_an_unreadable_entry_raises_only_after_all_earlier_entries_are_processed() -> None:
    positions, alerts = FakeReaderPositions(), FakeAlertRegistry()
    log = HaltAtUnreadable(PartlyUnreadable(5, 4), READER, positions, alerts, FakeClock())
    assert [entry.position for entry in log.read_after(0, 500)] != []
    positions.move(READER, 2)
    assert log.read_after(3, 500) == []
    assert alerts.listed() == []
    positions.move(READER, 3)
    with pytest.raises(LogEntryUnreadable) as halted:
        log.read_after(3, 500)
    log.halt(halted.value)
    assert [alert.name for alert in alerts.listed()] == [ALERT]

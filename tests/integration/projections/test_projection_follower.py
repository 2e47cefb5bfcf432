"""Followers of projections on a real PostgreSQL: kills, restarts, two of one projection, and entries that cannot be
folded."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
from typing import Any

import psycopg
import pytest

from adapters.postgres.read_model.projector import Projector
from application.ports.event_store.event_log import LogEntry
from application.ports.operations.alerts import Alert
from interfaces.workers.project import project
from interfaces.workers.project.log_follower import LogFollower
from projections.audit.trail import AuditTrailProjection
from projections.deadlines import DeadlinesProjection
from projections.dispatch.projection import DispatchesProjection
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.projection import Rows
from projections.queries.views import ProjectionPosition
from projections.registry import PROJECTIONS
from tests.integration.projections.conftest import ReadSide, eventually, running
from tests.patience import ANSWER_S
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    """A log of a few hundred domain events of all kinds."""
    numbers, walk = random.Random(7), PortfolioWalk()
    walk.happy()
    for _ in range(250):
        walk.step(numbers.randrange(10_000_000))
    return walk.entries


class PoisonedDREvents(DREventsProjection):
    """The read model dr_events, which cannot fold the domain event at one position."""

    def __init__(self, position: int) -> None:
        self.poison: int | None = position

    def fold(self, position: int, domain_event: Any, rows: Rows[DREventRow]) -> None:
        super().fold(position, domain_event, rows)
        if position == self.poison:
            raise ValueError("no such thing was agreed")


def _at_head(read_side: ReadSide) -> bool:
    return all(position.lag == 0 for position in read_side.models.positions())


def test_runners_follow_the_log_as_it_grows(read_side: ReadSide, entries: list[LogEntry]) -> None:
    with running(*(read_side.projector(projection, heartbeat_s=60.0) for projection in PROJECTIONS)) as stop:
        for start in range(0, len(entries), 50):
            read_side.store(entries[start : start + 50])
            eventually(lambda: _at_head(read_side), "every projection at the head by NOTIFY only")
        stop.set()
        for (
            projection
        ) in PROJECTIONS:  # a runner that waits a minute for notifications would not stop in time
            for pid, _ in read_side.sessions(projection.name):
                read_side.kill_session(pid)
    assert read_side.differences() == {}


def test_restarts_between_batches_lose_nothing_and_repeat_nothing(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    for start in range(0, len(entries), 37):
        read_side.store(entries[start : start + 37])
        read_side.catch_up()
    assert read_side.differences() == {}
    assert {position.position for position in read_side.models.positions()} == {entries[-1].position}


def test_a_runner_continues_after_its_session_was_killed(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    projection = AuditTrailProjection()
    with running(read_side.projector(projection, batch_size=1)):
        killed = 0
        for start in range(0, len(entries), 60):
            read_side.store(entries[start : start + 60])
            eventually(lambda: bool(read_side.sessions(projection.name)), "a session")
            for pid, _ in read_side.sessions(projection.name):
                read_side.kill_session(pid)
                killed += 1
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
    assert killed > 3
    assert read_side.differences(projection) == {}


def test_runners_wait_for_a_killed_server(
    read_side: ReadSide, entries: list[LogEntry], postgres_server: PostgresServer
) -> None:
    projection = DispatchesProjection()
    half = len(entries) // 2
    with running(read_side.projector(projection, batch_size=5)):
        read_side.store(entries[:half])
        postgres_server.kill()
        postgres_server.start()
        read_side.store(entries[half:])
        eventually(lambda: _position(read_side, projection.name) == entries[-1].position, "the head reached")
    assert read_side.differences(projection) == {}


def _position(read_side: ReadSide, name: str) -> int:
    try:
        return read_side.position(name).position
    except Exception:  # noqa: BLE001 - the pool still has connections of the killed server
        return -1


FOLLOWER_PROCESS = textwrap.dedent("""
    import sys, threading, time
    sys.path[:0] = sys.argv[2].split(":")
    from datetime import UTC, datetime
    from adapters.postgres.read_model.projector import Projector
    from interfaces.workers.project.log_follower import LogFollower
    from projections.audit.trail import AuditTrailProjection

    class Clock:
        def now(self): return datetime(2026, 7, 14, tzinfo=UTC)
        def wall_seconds(self, clock_seconds): return clock_seconds

    class Alerts:
        def clear(self, name, subject, *, at): pass

    class SlowProjection(AuditTrailProjection):
        def fold(self, position, domain_event, rows):
            super().fold(position, domain_event, rows)
            time.sleep(0.002)

    slow = Projector(SlowProjection(), dsn=sys.argv[1], alerts=Alerts(), clock=Clock(), batch_size=9)
    print("started", flush=True)
    LogFollower(slow).run(threading.Event())
""")


def test_a_runner_killed_in_mid_batch_leaves_only_whole_batches(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries)
    projection = AuditTrailProjection()
    seen: list[int] = []
    for kill in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", FOLLOWER_PROCESS, read_side.database.app_dsn, ":".join(sys.path)],
            stdout=subprocess.PIPE,
        ) as process:
            before = read_side.position(projection.name).position
            eventually(
                lambda before=before: read_side.position(projection.name).position > before,  # type: ignore[misc]
                "a batch folded",
            )
            process.send_signal(signal.SIGKILL)
        seen.append(read_side.position(projection.name).position)
        assert read_side.differences(projection) == {}, f"after kill {kill + 1}"
    assert seen == sorted(seen)
    assert seen[0] < entries[-1].position, (
        "the first kill came after the last batch, so that the test proves nothing"
    )
    read_side.catch_up(projection)
    assert read_side.differences(projection) == {}
    assert len(read_side.models.audit_trail.listed(limit=1000).rows) == sum(
        entry.topic.startswith(
            ("dr-event.", "dispatch.", "facility.reserved", "facility.released", "facility.restore-")
        )
        for entry in entries
    )


def test_a_poison_entry_stops_only_the_projection_that_cannot_fold_it(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    own = [entry for entry in entries if entry.topic.startswith("dr-event.")]
    poisoned = PoisonedDREvents(own[len(own) // 2].position)
    others = [projection for projection in PROJECTIONS if projection.name != "dr_events"]
    with running(*(read_side.projector(projection) for projection in (poisoned, *others))):
        read_side.store(entries)
        eventually(lambda: read_side.position("dr_events").stopped_at is not None, "dr_events stopped")
        eventually(
            lambda: all(read_side.position(projection.name).lag == 0 for projection in others),
            "the other projections at the head",
        )
        stopped = read_side.position("dr_events")
        assert poisoned.poison is not None
        assert stopped.stopped_at == poisoned.poison
        assert "no such thing was agreed" in str(stopped.stopped_reason)
        assert stopped.position == max(e.position for e in entries if e.position < poisoned.poison)
        (alert,) = _stopped(read_side)
        assert alert.subject == "dr_events"
        assert f"position {poisoned.poison}" in alert.detail
        assert read_side.differences(*others, DREventsProjection()) == {}

        poisoned.poison = None  # a release that can fold it
        eventually(lambda: read_side.position("dr_events").lag == 0, "dr_events at the head")
        eventually(lambda: not _stopped(read_side), "the alert cleared")
    assert read_side.position("dr_events").stopped_at is None
    assert read_side.differences() == {}


def _stopped(read_side: ReadSide) -> list[Alert]:
    return [alert for alert in read_side.alerts.listed() if alert.name == "projection_stopped"]


def test_an_unreadable_domain_event_stops_a_projection_at_its_position(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries[:25])
    unreadable = entries[24].position + 1
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state, "
            "notification_id) OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, 'of.tomorrow.v1', '{}', %s)",
            (unreadable,),
        )
    with running(read_side.projector(DeadlinesProjection())):
        eventually(lambda: read_side.position("deadlines").stopped_at is not None, "deadlines stopped")
    stopped = read_side.position("deadlines")
    assert (stopped.position, stopped.stopped_at) == (entries[24].position, unreadable)
    assert "of.tomorrow.v1" in str(stopped.stopped_reason)
    assert [alert.subject for alert in _stopped(read_side)] == ["deadlines"]


def test_a_row_refused_by_the_database_stops_its_projection(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    class Unstorable(DREventsProjection):
        def tenant(self, row: DREventRow) -> str | None:
            return "\0" if row.accepted_at is not None else None

    read_side.store(entries)
    first = next(entry for entry in entries if entry.topic == "dr-event.accepted.v1")
    with running(read_side.projector(Unstorable(), batch_size=500)):
        eventually(lambda: read_side.position("dr_events").stopped_at is not None, "dr_events stopped")
    stopped = read_side.position("dr_events")
    assert stopped.stopped_at == first.position
    assert stopped.position < first.position


def test_one_of_two_runners_is_active_and_the_other_takes_over(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    projection = AuditTrailProjection()
    third = len(entries) // 3
    with running(*(read_side.projector(projection) for _ in range(2))):
        read_side.store(entries[:third])
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
        eventually(lambda: len(read_side.sessions(projection.name)) == 2, "both connected")
        turns = read_side.sessions(projection.name)
        assert sorted(active for _, active in turns) == [False, True]
        first = next(pid for pid, active in turns if active)
        read_side.kill_session(first)
        read_side.store(entries[third:])
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached by the other")
        active = [pid for pid, active in read_side.sessions(projection.name) if active]
        assert first not in active
    assert read_side.differences(projection) == {}


def test_a_lagging_projection_raises_an_alert_until_it_has_caught_up(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries)  # recorded hours before the clock's current time
    read_side.catch_up(DREventsProjection())
    lags = [
        alert for alert in read_side.alerts.listed(include_cleared=True) if alert.name == "projection_lag"
    ]
    assert [alert.subject for alert in lags] == ["dr_events"]
    assert read_side.alerts.listed() == []


def test_the_worker_runs_every_projection_until_it_is_stopped(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries)

    async def scenario() -> list[ProjectionPosition]:
        stop = asyncio.Event()
        followers = [LogFollower(read_side.projector(projection)) for projection in PROJECTIONS]
        worker = asyncio.create_task(project.run(loops=followers, stop=stop))
        await asyncio.to_thread(eventually, lambda: _at_head(read_side), "every projection at the head")
        stop.set()
        await worker
        return await asyncio.to_thread(read_side.models.positions)

    positions = asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    assert {position.position for position in positions} == {entries[-1].position}


def test_a_runner_of_an_older_release_does_not_touch_newer_rows(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    class Newer(DREventsProjection):
        version = DREventsProjection.version + 1

    read_side.store(entries)
    read_side.catch_up(Newer())
    older: Projector = read_side.projector(DREventsProjection())
    with running(older):
        eventually(lambda: bool(_stopped(read_side)), "an alert")
    (alert,) = _stopped(read_side)
    assert f"newer version {Newer.version}" in alert.detail
    assert read_side.position("dr_events").version == Newer.version

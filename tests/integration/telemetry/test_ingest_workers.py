"""Ingest workers on a broker with shared subscriptions share its sessions and replace dead workers."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.postgres.coordination import exclusive_lock
from adapters.postgres.coordination.exclusive_lock import (
    PostgresExclusiveLock,
    PostgresLockHolders,
    exclusive_session,
)
from adapters.postgres.coordination.session_locks import LockSession
from interfaces.simulators.meters.load import MeterLoad
from interfaces.simulators.meters.load_plan import LoadPlan, audit
from interfaces.workers.ingest.sessions import IngestSession, balance, read_when_held
from tests.conftest import DebianCommand
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.integration.telemetry.feed_reader import Taken
from tests.integration.telemetry.mosquitto import mosquitto
from tests.patience import ANSWER_S
from tests.servers import Database

ROOT = Path(__file__).parents[3]
SESSIONS = 4


class NoFeed:
    """A feed without messages."""

    async def run(self, consumer: object, stop: asyncio.Event) -> None:
        await stop.wait()


class Worker:
    """One worker's share of the sessions, without a broker."""

    def __init__(self, name: str, dsn: str) -> None:
        self.stop = asyncio.Event()
        self._locks = exclusive_session(dsn, "ingest ", holder=name)
        self.sessions = [
            IngestSession(f"s{n}", NoFeed(), PostgresExclusiveLock(self._locks, f"ingest s{n}"))
            for n in range(SESSIONS)
        ]
        reading, shares = asyncio.Event(), PostgresLockHolders(self._locks, "ingest ")
        self._tasks = [
            asyncio.create_task(read_when_held(session, Taken(), self.sessions, reading, self.stop))
            for session in self.sessions
        ]
        self._tasks.append(asyncio.create_task(balance(self.sessions, shares, name, self.stop)))

    @property
    def held(self) -> int:
        return sum(session.is_held for session in self.sessions)

    async def end(self) -> None:
        self.stop.set()
        await asyncio.gather(*self._tasks)
        await self._locks.aclose()


def exclusive_lock_of(
    database: Database, prefix: str, name: str, *, holder: str | None = None
) -> PostgresExclusiveLock:
    session = exclusive_session(database.app_dsn, prefix, holder=holder)
    return PostgresExclusiveLock(session, prefix + name)


async def counted(dsn: str) -> Mapping[str, int]:
    async with aclosing(LockSession(dsn)) as session:
        return await PostgresLockHolders(session, "ingest ").count_by_holder()


def test_sessions_are_shared_evenly_while_workers_join_and_leave(database: Database) -> None:
    async def scenario() -> None:
        first = Worker("w1", database.app_dsn)
        await eventually(lambda: first.held == SESSIONS)
        second = Worker("w2", database.app_dsn)
        await eventually(lambda: (first.held, second.held) == (2, 2), within_s=ANSWER_S)
        third = Worker("w3", database.app_dsn)
        await eventually(
            lambda: sorted((first.held, second.held, third.held)) == [1, 1, 2], within_s=ANSWER_S
        )
        held = await counted(database.app_dsn)
        assert held == {"w1": first.held, "w2": second.held, "w3": third.held}
        await first.end()
        await eventually(lambda: (second.held, third.held) == (2, 2), within_s=ANSWER_S)
        await second.end()
        await eventually(lambda: third.held == SESSIONS)
        await third.end()

    asyncio.run(scenario())


def test_only_locks_with_the_prefix_are_counted(database: Database) -> None:
    async def scenario() -> Mapping[str, int]:
        async with (
            exclusive_lock_of(database, "aggregate ", "1", holder="w1").held(),
            exclusive_lock_of(database, "ingest", "").held(),
            exclusive_lock_of(database, "ingest ", "s1", holder="w2").held(),
        ):
            return await counted(database.app_dsn)

    assert asyncio.run(scenario()) == {"w2": 1}


def test_an_unavailable_server_is_reported() -> None:
    with pytest.raises(ConnectionError, match="does not say"):
        asyncio.run(counted("postgresql://127.0.0.1:1/none"))


def test_a_server_without_a_response_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive_lock, "HOLDERS_WITHIN_S", 0.2)
    clients: list[asyncio.StreamWriter] = []

    async def welcome_and_say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)
        await reader.read(65_536)
        if len(clients) == 1:
            writer.write(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            return
        for client in clients:  # the second connection cancels the query of the first
            client.close()

    async def scenario() -> None:
        async with await asyncio.start_server(welcome_and_say_nothing, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            dsn = f"postgresql://x@127.0.0.1:{port}/none?sslmode=disable&gssencmode=disable"
            with pytest.raises(ConnectionError, match="does not say"):
                await asyncio.wait_for(counted(dsn), ANSWER_S)

    asyncio.run(scenario())


@contextmanager
def worker_process(path: TelemetryPath, mqtt_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    arguments = [path.database.app_dsn, path.servers.nats_url, mqtt_url, "2"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.telemetry.ingest_process", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_killed_under_load_is_replaced_and_no_reading_is_lost(
    path: TelemetryPath, debian_command: DebianCommand, tmp_path: Path
) -> None:
    planned = LoadPlan(run=f"load{uuid4().hex[:6]}", meters=300, rate_per_s=300, started_at=path.clock.now())

    def count_by_holder(dsn: str) -> list[int]:
        return sorted(asyncio.run(counted(dsn)).values())

    async def scenario(mqtt_url: str) -> None:
        dsn = path.database.app_dsn
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream, path.aggregating(stream):
            with worker_process(path, mqtt_url) as first, worker_process(path, mqtt_url):
                await eventually(lambda: count_by_holder(dsn) == [1, 1], within_s=ANSWER_S)
                load = MeterLoad(planned, mqtt_url, connections=2)
                sending = asyncio.create_task(load.run(4.0))
                await eventually(lambda: path.count("meter_readings") > 200)
                first.kill()
                await eventually(lambda: count_by_holder(dsn) == [2])
                report = await sending
                assert (report.unacknowledged_messages, report.readings) == (0, 1_200)
                await eventually(lambda: not audit(planned, report.messages, path.stored_readings).lost)
        assert audit(planned, report.messages, path.stored_readings).is_exact

    settings = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0")
    with mosquitto(debian_command("mosquitto"), tmp_path, *settings) as port:
        asyncio.run(scenario(f"mqtt://127.0.0.1:{port}"))

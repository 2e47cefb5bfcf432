"""Call slots with an ended or hanging database session: no caller waits forever, and no lost slot is handed out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.coordination import call_slots, session_locks
from adapters.postgres.coordination.call_slots import PostgresCallSlots
from adapters.postgres.coordination.session_locks import LockSession
from tests.servers import Database

PATIENCE_S = 60.0
POLL_S = 0.02
Story = Callable[[], Awaitable[None]]


def run(scenario: Story) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(in_time())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what the slots know is no event of theirs
        await asyncio.sleep(POLL_S)


class Link:
    """A TCP proxy to PostgreSQL. Connections opened before `fall_silent` stay open and receive nothing more. After
    `cut_off` those opened later receive nothing either."""

    def __init__(self, dsn: str) -> None:
        self._parts = conninfo_to_dict(dsn)
        self._generation = 0
        self._is_cut_off = False
        self.dsn = ""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(**{**self._parts, "host": "127.0.0.1", "port": port})
        try:
            yield
        finally:
            server.close()

    def fall_silent(self) -> None:
        self._generation += 1

    def cut_off(self) -> None:
        self._is_cut_off = True
        self.fall_silent()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut_off:
            await reader.read()
            writer.close()
            return
        theirs = await asyncio.open_connection(str(self._parts["host"]), int(str(self._parts["port"])))
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pipe(reader, theirs[1]), self._pipe(theirs[0], writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        while data := await reader.read(1 << 16):
            if generation == self._generation:
                writer.write(data)
        writer.close()


def test_a_session_without_a_response_is_replaced_and_its_callers_are_served(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "ANSWER_WITHIN_S", 3.0)

    async def scenario() -> None:
        link = Link(database.app_dsn)
        async with link.opened():
            slots = PostgresCallSlots(LockSession(link.dsn), 2)
            async with slots.held():
                pass
            await until(lambda: not slots._surplus and slots._exchange is not None and slots._exchange.done())
            link.fall_silent()
            async with slots.held():
                pass
            await slots.aclose()

    run(scenario)


def test_a_slot_lost_with_its_session_is_not_handed_to_the_next_caller(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(call_slots, "REUSE_S", PATIENCE_S)

    async def scenario() -> None:
        session = LockSession(database.app_dsn)
        mine, theirs = PostgresCallSlots(session, 1), PostgresCallSlots(LockSession(database.app_dsn), 1)
        inside: list[str] = []

        async def hold(slots: PostgresCallSlots, name: str, leave: asyncio.Event) -> None:
            async with slots.held():
                inside.append(name)
                await leave.wait()
                inside.remove(name)

        leave = {name: asyncio.Event() for name in ("first", "theirs", "next")}
        first = asyncio.create_task(hold(mine, "first", leave["first"]))
        await until(lambda: inside == ["first"])
        assert session._connection is not None
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (session._connection.info.backend_pid,))
        other = asyncio.create_task(hold(theirs, "theirs", leave["theirs"]))
        await until(lambda: "theirs" in inside and not mine._held)
        following = asyncio.create_task(hold(mine, "next", leave["next"]))
        leave["first"].set()
        await first
        async with session._one_at_a_time:  # the caller has requested a slot, or is about to
            assert inside == ["theirs"]
        leave["theirs"].set()
        await until(lambda: "next" in inside)
        assert inside == ["next"]
        leave["next"].set()
        await asyncio.gather(other, following)
        await mine.aclose()
        await theirs.aclose()

    run(scenario)


def test_a_permanent_error_is_raised_to_the_waiting_caller(database: Database) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(int, int) FROM PUBLIC")

    async def scenario() -> None:
        slots = PostgresCallSlots(LockSession(database.app_dsn), 1)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with slots.held():
                pass
        await slots.aclose()

    run(scenario)

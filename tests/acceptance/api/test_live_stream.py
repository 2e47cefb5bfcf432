"""The live stream of a running API: from the log through the read models to a thousand clients."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import psycopg
import pytest

from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.read_model.projector import Projector
from interfaces.web.api import live_feed
from interfaces.workers.project.log_follower import LogFollower
from projections.registry import PROJECTIONS
from tests.acceptance.api.running_api import CLOCK, Door, notification, running_door
from tests.acceptance.api.stream_watchers import Screen, screens
from tests.patience import ANSWER_S, END_S
from tests.servers import Database, PostgresServer
from tests.unit.interfaces.web.live_feed_setup import until

WATCHERS = 1_000


@contextmanager
def projecting(door: Door) -> Iterator[None]:
    """Run the projections as `worker project` does."""
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=LogFollower(
                Projector(
                    projection, dsn=door.database.app_dsn, alerts=PostgresAlerts(door.pool), clock=CLOCK
                )
            ).run,
            args=(stop,),
        )
        for projection in PROJECTIONS
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_S)


def log_positions(database: Database) -> list[int]:
    with psycopg.connect(database.admin_dsn) as connection:
        rows = connection.execute(
            "SELECT notification_id FROM gridproof.demand_response_events ORDER BY notification_id"
        )
        return [int(row[0]) for row in rows]


def head_of(database: Database) -> int:
    return log_positions(database)[-1]


def maintain(door: Door, action: str) -> None:
    done = door.order("/api/facilities/fac-001/maintenance", {"action": action, "reason": "filters"})
    assert done.status_code == 200, done.text


def test_a_thousand_clients_receive_every_message_once_until_the_server_ends(database: Database) -> None:
    raise_open_files()

    async def scenario(door: Door) -> list[Screen]:
        async with screens(door.url, door.header("dashboard"), WATCHERS) as watching:
            assert {screen.answer.status for screen in watching} == {200}
            assert all("content-encoding" not in screen.answer.headers for screen in watching)
            await until(lambda: all(screen.parsed.last_event_id for screen in watching))
            began = int(watching[0].parsed.last_event_id)
            accepted = await asyncio.to_thread(door.post, notification())
            assert accepted.status_code == 202
            head = await asyncio.to_thread(head_of, door.database)
            await until(lambda: all(int(screen.parsed.last_event_id) >= head for screen in watching))
            expected = [position for position in log_positions(door.database) if position > began]
            assert len(expected) > 2
            assert {tuple(screen.parsed.positions()) for screen in watching} == {tuple(expected)}
            told = [data for _, data in watching[0].parsed.events if data.get("dr_event_id")]
            assert {data["dr_event_id"] for data in told} == {accepted.json()["dr_event_id"]}
            door.stop()
            await until(lambda: all(screen.ended for screen in watching))
            return watching

    with running_door(database) as door, projecting(door):
        found = asyncio.run(scenario(door))
    assert {screen.parsed.comments[-1].split(";")[0] for screen in found} == {"the server ends"}


def raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))


def test_a_stream_resumed_at_any_log_position_has_each_later_entry_once(database: Database) -> None:
    async def scenario(door: Door) -> None:
        positions = log_positions(database)
        head = positions[-1]
        for after in [0, *positions[:: max(1, len(positions) // 40)], head]:
            async with screens(door.url, door.header("operator"), after=str(after)) as (screen,):
                expected = [position for position in positions if position > after]
                await until(lambda s=screen, e=expected: len(s.parsed.positions()) >= len(e))  # type: ignore[misc]
                assert screen.parsed.positions() == expected, after
                assert screen.parsed.named("reset") == []

    with running_door(database) as door:
        assert door.post(notification()).status_code == 202
        door.project()
        asyncio.run(scenario(door))


def test_a_restart_of_postgresql_disconnects_no_client_and_loses_no_message(
    postgres_server: PostgresServer, database: Database
) -> None:
    async def scenario(door: Door) -> None:
        async with screens(door.url, door.header("dashboard")) as (screen,):
            await until(lambda: bool(screen.parsed.last_event_id))
            began = int(screen.parsed.last_event_id)
            await asyncio.to_thread(maintain, door, "start")
            await asyncio.to_thread(postgres_server.kill)
            await until(lambda: screen.parsed.named("state")[-1]["reason"] == "database")
            await asyncio.to_thread(postgres_server.start)
            await until(lambda: not screen.parsed.named("state")[-1]["stale"])
            await asyncio.to_thread(maintain, door, "end")
            head = await asyncio.to_thread(head_of, database)
            await until(lambda: int(screen.parsed.last_event_id) >= head)
            assert not screen.ended
            expected = [position for position in log_positions(database) if position > began]
            assert screen.parsed.positions() == expected
            topics = {data["topic"] for data in screen.parsed.named("facility")}
            assert topics == {"facility.maintenance-started.v1", "facility.maintenance-ended.v1"}
            assert {data["facility_id"] for data in screen.parsed.named("facility")} == {"fac-001"}

    with running_door(database) as door:
        door.project()
        with projecting(door):
            asyncio.run(scenario(door))


def test_a_client_that_does_not_read_is_dropped_without_effect_on_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "SEND_TIMEOUT_S", 10.0)

    async def scenario(door: Door) -> None:
        key = door.header("dashboard")
        deaf = connected(door, key)
        async with screens(door.url, key) as (screen,):
            await until(lambda: bool(screen.parsed.last_event_id))
            await asyncio.to_thread(long_history, door)
            head = await asyncio.to_thread(head_of, database)
            await until(lambda: int(screen.parsed.last_event_id) >= head)
            await until_metric(door, "gridproof_live_dropped_total", 1.0)
            await until_metric(door, "gridproof_live_watchers", 1.0)
            assert not screen.ended
        deaf.close()

    with running_door(database) as door:
        door.project()
        asyncio.run(scenario(door))


def connected(door: Door, key: dict[str, str]) -> socket.socket:
    """A client with a small receive window that sends its request and never reads."""
    host, _, port = door.url.removeprefix("http://").partition(":")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    deaf.connect((host, int(port)))
    lines = ["GET /api/stream HTTP/1.1", "Host: door", f"Authorization: {key['Authorization']}", "", ""]
    deaf.sendall("\r\n".join(lines).encode())
    return deaf


def long_history(door: Door) -> None:
    """Fill the log with more than the buffers of a connection hold; the read models ignore these entries."""
    with psycopg.connect(door.database.admin_dsn) as connection:
        connection.execute(
            """
            INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)
            SELECT gen_random_uuid(), 1, 'contract.of-a-newer-release.v7', convert_to(
                '{"recorded_at":"2026-07-14T12:00:00Z","facility_id":"' || repeat('x', 1500) || '"}', 'UTF8')
            FROM generate_series(1, 5000)
            """
        )
        connection.execute(
            "UPDATE gridproof.projection_positions "
            "SET position = (SELECT max(notification_id) FROM gridproof.demand_response_events)"
        )
        connection.execute("NOTIFY projection_positions, 'dr_events 1'")


async def until_metric(door: Door, name: str, value: float) -> None:
    key = door.header("operator")
    async with aiohttp.ClientSession() as session:

        async def rate() -> float:
            async with session.get(f"{door.url}/metrics", headers=key) as answer:
                lines = (await answer.text()).splitlines()
            return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

        async with asyncio.timeout(ANSWER_S):
            while await rate() != value:  # noqa: ASYNC110 - a metric is polled
                await asyncio.sleep(0.1)


def test_a_stream_of_one_facility_carries_only_that_facility_and_utilities_are_refused(
    database: Database,
) -> None:
    with running_door(database) as door:
        assert door.post(notification()).status_code == 202
        door.project()
        assert door.get("/api/stream", "utility", "util-1").status_code == 403

        async def scenario() -> None:
            query = "?facility_id=fac-002&last_event_id=0"
            async with screens(door.url, door.header("auditor"), query=query) as (screen,):
                await until(lambda: bool(screen.parsed.positions()))
                assert {data["facility_id"] for data in screen.parsed.named("facility")} == {"fac-002"}
                assert screen.parsed.named("dr-event") == []
                assert screen.parsed.named("program") == []

        asyncio.run(scenario())


def test_streams_over_the_limit_of_a_process_are_a_503_until_others_close(database: Database) -> None:
    async def scenario(door: Door) -> None:
        key = door.header("dashboard")
        async with screens(door.url, key, 2) as watching:
            assert [screen.answer.status for screen in watching] == [200, 200]
            async with screens(door.url, key) as (refused,):
                assert refused.answer.status == 503
                assert int(refused.answer.headers["retry-after"]) >= 1
        await until_metric(door, "gridproof_live_watchers", 0.0)
        async with screens(door.url, key) as (screen,):
            assert screen.answer.status == 200

    with running_door(database, stream_clients=2) as door:
        asyncio.run(scenario(door))


def test_streams_over_the_limit_of_an_api_key_are_a_429_for_that_key_only(database: Database) -> None:
    async def scenario(door: Door) -> None:
        key = door.header("dashboard")
        async with screens(door.url, key, 2) as watching:
            assert [screen.answer.status for screen in watching] == [200, 200]
            async with (
                screens(door.url, key) as (refused,),
                screens(door.url, door.header("operator")) as (other,),
            ):
                assert (refused.answer.status, other.answer.status) == (429, 200)
                assert int(refused.answer.headers["retry-after"]) >= 1
        await until_metric(door, "gridproof_live_watchers", 0.0)
        async with screens(door.url, key) as (screen,):
            assert screen.answer.status == 200

    with running_door(database, stream_clients=3, stream_clients_per_key=2) as door:
        asyncio.run(scenario(door))


def test_a_session_cookie_opens_the_stream(database: Database) -> None:
    with running_door(database) as door:

        async def scenario() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
                async with session.post(f"{door.url}/api/session", headers=door.header("operator")) as begun:
                    assert begun.status == 201
                async with session.get(f"{door.url}/api/stream") as answer:
                    assert answer.status == 200
                    assert answer.content_type == "text/event-stream"
                    assert (await answer.content.readany()).startswith(b"retry: ")

        asyncio.run(scenario())

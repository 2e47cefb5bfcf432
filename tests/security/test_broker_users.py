"""M1: what each login of the embedded nats-server for a worker may do."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import nats.errors
import pytest
from nats.aio.client import Client

from adapters.embedded import EmbeddedServers
from adapters.embedded.broker_users import BROKER_USERS, user_of
from adapters.embedded.meter_logins import MeterLogins, logins_in
from adapters.mqtt import TOPIC_FILTER, MqttMeterFeed
from adapters.nats.connection import connect
from adapters.nats.mqtt_sessions import MqttSessions
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.access.meter_logins import MeterLoginRefused
from application.ports.dispatch.work_queue import BMS_PARTITIONS, WorkQueueUnavailable
from tests.bms_reader import BmsReader
from tests.integration.telemetry.feed_reader import Taken, eventually, publish, reading

WORKERS = [user.removeprefix("gridproof.") for user in BROKER_USERS]


NOBODYS = "nobodys.subject"


async def refused_of(client: Client, subjects: Iterable[str]) -> set[str]:
    """Those subjects to which the server takes no message of this client."""
    refused: set[str] = set()
    last = asyncio.Event()

    async def note(error: Exception) -> None:
        found = re.search('permissions violation for publish to "([^"]+)"', str(error).lower())
        if found is not None:
            refused.add(found[1])
            if found[1] == NOBODYS:
                last.set()

    client._error_cb = note
    for subject in (*subjects, NOBODYS):  # refusals arrive in order
        await client.publish(subject, b"")
    await asyncio.wait_for(last.wait(), 20)
    return {subject for subject in subjects if subject.lower() in refused}


def as_worker(servers: EmbeddedServers, worker: str, scenario: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        client = await connect(servers.nats.url("nats", "nats", user_of(worker)), name=worker)
        try:
            await scenario(client)
        finally:
            await client.close()

    asyncio.run(run())


def test_each_worker_reaches_its_own_streams_only(nats_server: EmbeddedServers) -> None:
    expected = {
        "bms.work.fac-001": {"relay", "dispatch"},
        "bms.work.p.3.fac-001": {"relay", "dispatch"},
        "callback.work.util-1": {"web", "relay", "schedule", "notify"},
        "telemetry.0": {"web", "ingest", "aggregate"},
        "$JS.API.CONSUMER.MSG.NEXT.BMS_WORK.bms-fac-001": {"dispatch"},
        "$JS.API.CONSUMER.MSG.NEXT.BMS_WORK.bms_partition_3": {"dispatch"},
        "$JS.API.CONSUMER.DELETE.BMS_WORK.bms-fac-001": {"dispatch"},
        "$JS.API.CONSUMER.MSG.NEXT.CALLBACK_WORK.notify": {"notify"},
        "$JS.API.STREAM.PURGE.BMS_WORK": {"dispatch"},
        "$JS.API.STREAM.DELETE.BMS_WORK": set(),
        "$JS.API.STREAM.INFO.$MQTT_msgs": set(),
        "$JS.API.CONSUMER.DELETE.$MQTT_msgs.x": set(),
        "meters.fac-001.main.readings": set(),
        "$MQTT.msgs.meters.fac-001.main.readings": set(),
        "$SYS.REQ.SERVER.PING": set(),
    }
    allowed: dict[str, set[str]] = {subject: set() for subject in expected}
    for worker in WORKERS:

        async def scenario(client: Client, worker: str = worker) -> None:
            for subject in expected.keys() - await refused_of(client, expected):
                allowed[subject].add(worker)

        as_worker(nats_server, worker, scenario)
    assert allowed == expected


def test_a_worker_reads_neither_the_answers_to_others_nor_any_subject(nats_server: EmbeddedServers) -> None:
    async def scenario(client: Client) -> None:
        refused = asyncio.Event()

        async def note(error: Exception) -> None:
            refused.set()

        client._error_cb = note
        for subject in (">", "_INBOX.>", "_INBOX.dispatch.>", "bms.work.>", "meters.>", "$MQTT.>"):
            refused.clear()
            await client.subscribe(subject)
            await asyncio.wait_for(refused.wait(), 20)

    as_worker(nats_server, "web", scenario)


def test_the_work_queue_works_with_the_rights_of_its_workers(nats_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        for worker in ("web", "relay", "schedule", "dispatch", "notify"):
            url = nats_server.nats.url("nats", "nats", user_of(worker))
            queue = await NatsWorkQueue.connect(url, redelivery_s=30.0, name=worker)
            if worker == "dispatch":
                assert await BmsReader(queue).next("fac-nobody", wait_s=0.1) is None
                assert await queue.next_former_bms(BMS_PARTITIONS) == []
            if worker == "schedule":
                assert await queue.callbacks_held("utility-nobody") == frozenset()
                assert "fac-nobody" not in await queue.facilities_with_work()
            if worker == "notify":
                await queue.next_callback("utility-nobody", wait_s=0.1)
            await queue.aclose()

    asyncio.run(scenario())


def test_ingest_reads_the_meters_with_its_own_login(nats_server: EmbeddedServers) -> None:
    parts = urlsplit(nats_server.meters_mqtt_url)
    feed = MqttMeterFeed(nats_server.ingest_mqtt_url, client_id=f"ingest-{uuid4().hex}")

    async def publish_one(payload: bytes) -> None:
        port, meter = parts.port or 0, f"meter-{uuid4().hex}"
        await publish(port, [payload], user=parts.username, password=parts.password, client_id=meter)

    async def scenario() -> None:
        client = await connect(nats_server.nats_url, name="test")
        sessions = MqttSessions(client, TOPIC_FILTER)
        others = await sessions.consumers()
        await feed.create_session()
        own = await sessions.consumers() - others
        await publish_one(b"1")
        taken = Taken()
        async with reading(feed, taken):
            await publish_one(b"2")
            await eventually(lambda: set(taken.payloads) >= {b"1", b"2"})
            async with asyncio.timeout(20):  # its acknowledgements arrive
                while not await sessions.are_drained(own, await sessions.end()):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        await client.close()

    asyncio.run(scenario())


def test_no_facility_can_have_the_login_of_a_worker(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, valkey=False):
        for user in BROKER_USERS:
            with pytest.raises(MeterLoginRefused):
                MeterLogins(tmp_path).create(user)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "password-in-clear",
        "$2a$04$" + "x" * 52,
        "$2a$04$" + "x" * 53 + '" }, { user: "intruder", password: "x',
        "$2a$31$" + "x" * 53,  # a cost that would keep the broker from answering anybody
    ],
)
def test_what_is_no_hash_of_ours_reaches_no_configuration_of_the_broker(tmp_path: Path, given: str) -> None:
    folder = tmp_path / "nats"
    folder.mkdir()
    (tmp_path / "servers.json").write_text("{}")
    with pytest.raises(MeterLoginRefused, match="is none"):
        MeterLogins(tmp_path).add("fac-001", given)
    assert logins_in(folder) == {}


def test_a_wrong_password_of_a_worker_is_refused(nats_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        url = f"nats://{user_of('web')}:wrong@127.0.0.1:{nats_server.nats.ports['nats']}"
        with pytest.raises((nats.errors.Error, WorkQueueUnavailable)):
            await connect(url, name="intruder", keep_trying=False)

    asyncio.run(scenario())

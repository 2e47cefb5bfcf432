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
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from adapters.embedded import EmbeddedServers
from adapters.embedded.broker_users import BROKER_USERS, user_of
from adapters.embedded.meter_logins import MeterLogins, logins_in
from adapters.mqtt import MqttMeterFeed
from adapters.nats.connection import connect
from application.ports.access.meter_logins import MeterLoginRefused
from tests.integration.telemetry.feed_reader import Taken, eventually, publish, reading
from tests.patience import ANSWER_S

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
    await asyncio.wait_for(last.wait(), ANSWER_S)
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
        "telemetry.0": {"web", "ingest", "aggregate"},
        "$JS.API.CONSUMER.MSG.NEXT.TELEMETRY.aggregate-0": {"aggregate", "archive"},
        "$JS.API.STREAM.PURGE.TELEMETRY": {"aggregate", "archive"},
        "$JS.API.STREAM.DELETE.TELEMETRY": set(),
        "$JS.API.STREAM.INFO.WORK": set(),
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
        for subject in (">", "_INBOX.>", "_INBOX.aggregate.>", "telemetry.>", "meters.>", "$MQTT.>"):
            refused.clear()
            await client.subscribe(subject)
            await asyncio.wait_for(refused.wait(), ANSWER_S)

    as_worker(nats_server, "web", scenario)


async def subscriptions(client: Client) -> list[ConsumerInfo]:
    """The consumers of all MQTT sessions; none where no MQTT client ever connected."""
    try:
        return await client.jetstream().consumers_info("$MQTT_msgs")
    except NotFoundError:
        return []


def test_ingest_reads_the_meters_with_its_own_login(nats_server: EmbeddedServers) -> None:
    parts = urlsplit(nats_server.meters_mqtt_url)
    client_id = f"ingest-{uuid4().hex}"
    feed = MqttMeterFeed(nats_server.ingest_mqtt_url, client_id=client_id)

    async def publish_one(payload: bytes) -> None:
        port, meter = parts.port or 0, f"meter-{uuid4().hex}"
        await publish(port, [payload], user=parts.username, password=parts.password, client_id=meter)

    async def scenario() -> None:
        client = await connect(nats_server.nats_url, name="test")
        others = {info.name for info in await subscriptions(client)}
        async with reading(MqttMeterFeed(nats_server.ingest_mqtt_url, client_id=client_id), Taken()):
            pass  # creates the session
        own = {info.name for info in await subscriptions(client)} - others
        await publish_one(b"1")
        taken = Taken()
        async with reading(feed, taken):
            await publish_one(b"2")
            await eventually(lambda: set(taken.payloads) >= {b"1", b"2"})
            async with asyncio.timeout(ANSWER_S):  # its acknowledgements arrive
                while any(  # noqa: ASYNC110 - the broker raises no event
                    info.num_pending or info.num_ack_pending
                    for info in await subscriptions(client)
                    if info.name in own
                ):
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
        with pytest.raises(nats.errors.Error):
            await connect(url, name="intruder", keep_trying=False)

    asyncio.run(scenario())

"""The setup of a stream at a worker's start, after an operator has changed it."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import nats
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from structlog.testing import capture_logs

from adapters.embedded import EmbeddedServers
from adapters.nats.stream_setup import set_up_stream
from adapters.nats.telemetry_stream import DEFAULT_MAX_BYTES, STREAM, NatsTelemetryStream
from tests.telemetry_log import delete_telemetry_log

GIVEN = 5_000_000


def run_scenario(url: str, scenario: Callable[[Client, JetStreamContext], Awaitable[None]]) -> None:
    async def run() -> None:
        client = await nats.connect(url)
        jetstream = client.jetstream()
        try:
            await delete_telemetry_log(jetstream)
            await scenario(client, jetstream)
        finally:
            await delete_telemetry_log(jetstream)
            await client.close()

    asyncio.run(run())


async def changed_by_the_operator(jetstream: JetStreamContext, name: str) -> None:
    config = (await jetstream.stream_info(name)).config
    await jetstream.update_stream(
        config.evolve(max_bytes=GIVEN, description="ours", compression=api.StoreCompression.S2)
    )


def test_the_telemetry_log_keeps_the_size_set_by_an_operator(nats_url: str) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        await NatsTelemetryStream(client).ensure()
        await changed_by_the_operator(jetstream, STREAM)
        later = NatsTelemetryStream(client, archived=True)
        await later.ensure()
        config = (await jetstream.stream_info(STREAM)).config
        assert (config.max_bytes, config.description, config.compression) == (GIVEN, "ours", "s2")
        assert config.max_age == 0.0, "the maximum age is updated"
        assert (await later.fill()).max_bytes == GIVEN
        await NatsTelemetryStream(client, max_bytes=2 * GIVEN).ensure()
        assert (await later.fill()).max_bytes == 2 * GIVEN, "a configured size takes precedence"

    run_scenario(nats_url, scenario)


def follower(client: Client, size: int) -> NatsTelemetryStream:
    return NatsTelemetryStream(client, following_bytes=lambda: size)


async def limit_of(jetstream: JetStreamContext) -> int | None:
    return (await jetstream.stream_info(STREAM)).config.max_bytes


def test_the_size_follows_the_meters_until_an_operator_sets_another(nats_url: str) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        await NatsTelemetryStream(client).ensure()
        sizes = (3 * GIVEN, 4 * GIVEN, 2 * GIVEN)
        for size in sizes:
            await follower(client, size).ensure()
            assert await limit_of(jetstream) == size
        await NatsTelemetryStream(client).ensure()
        assert await limit_of(jetstream) == 2 * GIVEN, "a process that knows no meters leaves it"
        await changed_by_the_operator(jetstream, STREAM)
        await follower(client, 9 * GIVEN).ensure()
        assert await limit_of(jetstream) == GIVEN
        await NatsTelemetryStream(client, max_bytes=6 * GIVEN).ensure()
        await follower(client, 9 * GIVEN).ensure()
        assert await limit_of(jetstream) == 9 * GIVEN, "without the setting it follows again"

    run_scenario(nats_url, scenario)


@pytest.mark.parametrize("is_configured", [True, False])
def test_a_size_is_not_lowered_below_what_the_log_holds(nats_url: str, is_configured: bool) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        stream = follower(client, 2 * GIVEN)
        await stream.ensure()
        for _ in range(3):
            await jetstream.publish("telemetry.1", bytes(100_000))
        held = (await stream.fill()).stored_bytes
        smaller = held - 1
        lower = NatsTelemetryStream(client, max_bytes=smaller) if is_configured else follower(client, smaller)
        with capture_logs() as lines:
            await lower.ensure()
        assert await limit_of(jetstream) == 2 * GIVEN
        assert [(line["held_bytes"], line["limit_bytes"]) for line in lines] == [(held, 2 * GIVEN)]
        assert (await stream.fill()).stored_bytes == held
        await jetstream.purge_stream(STREAM)
        await lower.ensure()
        assert await limit_of(jetstream) == smaller

    run_scenario(nats_url, scenario)


def test_a_server_without_room_for_the_size_keeps_the_former_one(tmp_path: Path) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        total = shutil.disk_usage(tmp_path).total
        await NatsTelemetryStream(client).ensure()
        with capture_logs() as lines:
            await follower(client, 4 * total).ensure()
        assert await limit_of(jetstream) == DEFAULT_MAX_BYTES
        assert [line["wanted_bytes"] for line in lines] == [4 * total]
        await delete_telemetry_log(jetstream)
        await follower(client, 4 * total).ensure()
        assert await limit_of(jetstream) == DEFAULT_MAX_BYTES, "a new one, too"
        assert (await jetstream.publish("telemetry.1", b"taken")).seq == 1

    with EmbeddedServers(tmp_path, postgres=False, valkey=False) as servers:
        run_scenario(servers.nats_url, scenario)


def test_the_log_drops_what_is_older_than_its_days(nats_url: str) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        for days in (30, 2):
            await NatsTelemetryStream(client, days=days).ensure()
            assert (await jetstream.stream_info(STREAM)).config.max_age == days * 86_400.0

    run_scenario(nats_url, scenario)


def test_a_log_without_a_size_limit_gets_the_default(nats_url: str) -> None:
    async def scenario(client: Client, jetstream: JetStreamContext) -> None:
        await NatsTelemetryStream(client).ensure()
        config = (await jetstream.stream_info(STREAM)).config
        await jetstream.update_stream(config.evolve(max_bytes=-1))
        later = NatsTelemetryStream(client)
        await later.ensure()
        assert (await later.fill()).max_bytes == DEFAULT_MAX_BYTES

    run_scenario(nats_url, scenario)


class Cluster:
    """A JetStream cluster that only records requests, because one server cannot provide a cluster."""

    def __init__(self, there: api.StreamConfig) -> None:
        self.there = there
        self.sent: list[api.StreamConfig] = []

    async def stream_info(self, name: str) -> api.StreamInfo:
        return api.StreamInfo(config=self.there, state=api.StreamState(0, 0, 0, 0, 0))

    async def update_stream(self, config: api.StreamConfig) -> None:
        self.sent.append(config)


def set_up(cluster: Cluster, subject: str, *, replicas: int | None = None) -> None:
    jetstream, ours = cast("JetStreamContext", cluster), {"subjects": [subject]}
    setting_up = set_up_stream(jetstream, "S", ours, replicas=replicas, max_bytes=None, first_max_bytes=1)
    asyncio.run(setting_up)


@pytest.mark.parametrize(("setting", "sent"), [(None, 3), (5, 5)])
def test_the_replica_count_is_unchanged_unless_it_is_configured(setting: int | None, sent: int) -> None:
    placed = api.Placement(cluster="eu", tags=["ssd"])
    there = api.StreamConfig(name="S", subjects=["old"], num_replicas=3, max_bytes=GIVEN, placement=placed)
    cluster = Cluster(there)
    set_up(cluster, "new", replicas=setting)
    (config,) = cluster.sent
    assert (config.num_replicas, config.subjects, config.placement) == (sent, ["new"], placed)


def test_a_correctly_configured_stream_is_not_updated() -> None:
    there = api.StreamConfig(name="S", subjects=["ours"], num_replicas=3, max_bytes=GIVEN)
    cluster = Cluster(there)
    set_up(cluster, "ours")
    assert cluster.sent == []

"""`gridproof doctor` says which streams have fewer replicas than they should."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
from nats.js.api import ClusterInfo, PeerInfo, StreamConfig, StreamInfo, StreamState

from adapters.embedded import EmbeddedServers
from adapters.nats.stream_replicas import missing_of, telemetry_behind
from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream
from application.ports.operations.system_state import QueuesUnavailable
from interfaces.bootstrap.doctor import checks
from interfaces.bootstrap.doctor.result import CheckFailed
from tests.telemetry_log import delete_telemetry_log


def stream(*replicas: PeerInfo, configured: int) -> StreamInfo:
    return StreamInfo(
        config=StreamConfig(name="TELEMETRY", num_replicas=configured),
        state=StreamState(messages=0, bytes=0, first_seq=0, last_seq=0, consumer_count=0),
        cluster=ClusterInfo(leader="n1", replicas=list(replicas)),
    )


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (stream(PeerInfo("n2", current=True), PeerInfo("n3", current=True), configured=3), None),
        (
            stream(PeerInfo("n2", current=True), PeerInfo("n3", current=False), configured=3),
            "TELEMETRY has 2 of 3 replicas (not n3)",
        ),
        (
            stream(PeerInfo("n2", current=True), PeerInfo("n3", current=True, offline=True), configured=3),
            "TELEMETRY has 2 of 3 replicas (not n3)",
        ),
        (stream(PeerInfo("n2", current=True), configured=3), "TELEMETRY has 2 of 3 replicas"),
        (stream(configured=1), "TELEMETRY is set up with 1 of 3 replicas"),
    ],
)
def test_a_stream_without_all_its_current_replicas_is_reported(info: StreamInfo, said: str | None) -> None:
    assert missing_of(info, wished=3) == said


@asynccontextmanager
async def telemetry_log(nats_url: str) -> AsyncIterator[None]:
    """The log is there meanwhile, with one replica."""
    client = await nats.connect(nats_url)
    try:
        await NatsTelemetryStream(client).ensure_stream()
        yield
    finally:
        await client.close()


def test_the_doctor_names_a_stream_with_fewer_replicas_than_the_setting(nats_server: EmbeddedServers) -> None:
    async def look(replicas: int | None) -> str:
        async with telemetry_log(nats_server.nats_url):
            return await checks._nats(nats_server.nats_url, replicas)

    assert "JetStream" in asyncio.run(look(1))
    with pytest.raises(CheckFailed, match="TELEMETRY is set up with 1 of 3 replicas"):
        asyncio.run(look(3))


def test_the_telemetry_log_is_looked_at_and_left_out_where_there_is_none(
    nats_server: EmbeddedServers,
) -> None:
    async def look(wished: int | None) -> set[str]:
        async with telemetry_log(nats_server.nats_url):
            return set(await telemetry_behind(nats_server.nats_url, wished=wished))

    async def look_without() -> set[str]:
        client = await nats.connect(nats_server.nats_url)
        await delete_telemetry_log(client.jetstream())
        await client.close()
        return set(await telemetry_behind(nats_server.nats_url, wished=3))

    assert asyncio.run(look(1)) == set()
    assert asyncio.run(look(3)) == {STREAM}
    assert asyncio.run(look_without()) == set()


def test_a_nats_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(QueuesUnavailable):
        asyncio.run(telemetry_behind("nats://127.0.0.1:1", wished=None))

"""`gridproof doctor` says which streams have fewer replicas than they should."""

import asyncio
from contextlib import aclosing

import pytest
from nats.js.api import ClusterInfo, PeerInfo, StreamConfig, StreamInfo, StreamState

from adapters.embedded import EmbeddedServers
from adapters.nats.stream_replicas import missing_of, streams_behind
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.operations.system_state import QueuesUnavailable
from interfaces.bootstrap.doctor import checks
from interfaces.bootstrap.doctor.result import CheckFailed


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


def test_the_doctor_names_a_stream_with_fewer_replicas_than_the_setting(nats_server: EmbeddedServers) -> None:
    async def look(replicas: int | None) -> str:
        async with aclosing(
            await NatsWorkQueue.connect(nats_server.nats_url, redelivery_s=1.0, name="replicas")
        ):
            return await checks._nats(nats_server.nats_url, replicas)

    assert "JetStream" in asyncio.run(look(1))
    with pytest.raises(CheckFailed, match="BMS_WORK is set up with 1 of 3 replicas"):
        asyncio.run(look(3))


def test_our_streams_are_looked_at_and_one_that_does_not_exist_is_left_out(
    nats_server: EmbeddedServers,
) -> None:
    async def look(wished: int | None) -> set[str]:
        async with aclosing(
            await NatsWorkQueue.connect(nats_server.nats_url, redelivery_s=1.0, name="replicas")
        ):
            return set(await streams_behind(nats_server.nats_url, wished=wished))

    assert asyncio.run(look(1)) == set()
    behind = asyncio.run(look(3))
    assert {"BMS_WORK", "CALLBACK_WORK"} <= behind <= {"BMS_WORK", "CALLBACK_WORK", "TELEMETRY"}


def test_a_nats_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(QueuesUnavailable):
        asyncio.run(streams_behind("nats://127.0.0.1:1", wished=None))

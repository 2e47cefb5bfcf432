"""The NATS client detects a hanging server and reconnects once the server responds again."""

import asyncio
import os
import signal
from collections.abc import Callable

import nats.errors
import pytest
from structlog.testing import capture_logs

from adapters.embedded import EmbeddedServers
from adapters.nats import connection
from adapters.nats.connection import connect
from tests.frozen_process import freeze

WITHIN_S = 60.0


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.01)


def test_the_client_detects_a_hanging_server_and_reconnects(
    nats_server: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_INTERVAL_S", 0.1)

    async def scenario() -> None:
        client = await connect(nats_server.nats_url, name="test")
        pid = nats_server.nats.pid
        assert pid is not None
        try:
            freeze(pid)
            await eventually(lambda: not client.is_connected)
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda: client.is_connected and client.stats["reconnects"] == 1)
        await client.flush()
        await client.close()

    with capture_logs() as logs:
        asyncio.run(scenario())
    said = [entry["event"] for entry in logs if entry.get("client") == "test"]
    assert said[0] == "disconnected from nats"
    assert said[-1] == "reconnected to nats"


def test_pings_are_frequent_enough_by_default(nats_server: EmbeddedServers) -> None:
    async def scenario() -> tuple[float, int, int]:
        client = await connect(nats_server.nats_url, name="test")
        await client.close()
        options = client.options
        return options["ping_interval"], options["max_outstanding_pings"], options["max_reconnect_attempts"]

    with capture_logs() as logs:
        assert asyncio.run(scenario()) == (5.0, 2, -1)
    assert logs == []


def test_a_client_without_retries_gets_an_error() -> None:
    with capture_logs() as logs, pytest.raises(nats.errors.NoServersError):
        asyncio.run(asyncio.wait_for(connect("nats://127.0.0.1:1", name="test", keep_trying=False), WITHIN_S))
    assert logs == []

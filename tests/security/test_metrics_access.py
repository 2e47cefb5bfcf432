"""Metrics tell everybody who can read them how the system stands: they need a key, or a listener of their own."""

import asyncio

import httpx
import pytest

from interfaces.web.guard.connection_table import ConnectionTable
from interfaces.web.guard.platform_listener import PLATFORM_PATHS, PlatformApplication
from interfaces.workers.web import server
from tests.patience import ANSWER_S
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.workers.web.echo_server import echo


def test_metrics_on_the_public_listener_need_the_key_of_an_operator() -> None:
    edge = Edge()
    keys: dict[int, dict[str, str]] = {
        401: {},
        403: edge.key("utility", utility="util-1"),
        200: edge.key("operator"),
    }
    with edge.client() as client:
        for status, key in keys.items():
            answer = client.get("/metrics", headers=key)
            assert answer.status_code == status
            assert ("gridproof_http_requests" in answer.text) is (status == 200)


def test_the_listener_of_the_platform_serves_the_routes_for_the_platform_and_no_other() -> None:
    async def statuses(*paths: str) -> set[int]:
        transport = httpx.ASGITransport(PlatformApplication(Edge().app()))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://platform", timeout=ANSWER_S
        ) as client:
            return {(await client.get(path)).status_code for path in paths}

    assert asyncio.run(statuses(*PLATFORM_PATHS)) == {200}
    assert asyncio.run(statuses("/api/dr-events", "/", "/schema", "/metrics/", "/api/session")) == {404}


@pytest.mark.parametrize("path", sorted(PLATFORM_PATHS))
def test_the_platform_is_answered_while_clients_hold_every_connection(path: str) -> None:
    async def scenario() -> int:
        stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
        listener, platform = server.listening("127.0.0.1", 0), server.platform_listener("127.0.0.1:0")
        serving = asyncio.create_task(
            server.run(
                echo,
                listener=listener,
                stop=stop,
                started=started.set_result,
                connections=ConnectionTable(most=1),
                platform=platform,
            )
        )
        await started
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET /late?taken HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readline()
        async with httpx.AsyncClient(timeout=ANSWER_S) as client:
            answer = await client.get(f"http://127.0.0.1:{platform.getsockname()[1]}{path}")
        writer.close()
        stop.set()
        await serving
        return answer.status_code

    assert asyncio.run(scenario()) == 200

"""L1: only a proxy that the settings name says where a request came from, and whether it came over https."""

import asyncio
from typing import Any

import httpx
import pytest

from interfaces.settings.settings import SettingsError, read_settings
from interfaces.web.authentication.client_address import TrustedProxies
from interfaces.workers.web import server
from tests.patience import ANSWER_S
from tests.unit.interfaces.web.edge import Edge

FORWARDED = {"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Proto": "https"}


async def seen(**options: Any) -> tuple[str, str]:
    """Client and scheme of a request with FORWARDED, as the application gets them."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = f"{scope['client'][0]} {scope['scheme']}".encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = server.listening("127.0.0.1", 0)
    serving = asyncio.create_task(
        server.run(app, listener=listener, stop=stop, started=started.set_result, **options)
    )
    async with httpx.AsyncClient(timeout=ANSWER_S) as client:
        client_host, _, scheme = (await client.get(await started, headers=FORWARDED)).text.partition(" ")
    stop.set()
    await serving
    return client_host, scheme


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("127.0.0.1", "http")),
        ({"proxies": TrustedProxies("192.0.2.1")}, ("127.0.0.1", "http")),
        ({"proxies": TrustedProxies("192.0.2.1, 127.0.0.0/8")}, ("203.0.113.9", "https")),
        ({"served_over_https": True}, ("127.0.0.1", "https")),
    ],
    ids=["none", "another", "this one", "served over https"],
)
def test_a_forwarded_address_is_believed_from_a_named_proxy_only(
    options: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert asyncio.run(seen(**options)) == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_that_came_over_https_stays_with_it(scheme: str) -> None:
    edge = Edge()
    with edge.client() as client:
        client.base_url = f"{scheme}://testserver"
        answer = client.post("/api/session", headers=edge.key("operator"))
    assert ("Secure" in answer.headers["set-cookie"]) is (scheme == "https")
    assert ("strict-transport-security" in answer.headers) is (scheme == "https")


def test_a_wrong_list_of_proxies_is_refused_with_its_form() -> None:
    with pytest.raises(SettingsError, match="HTTP_TRUSTED_PROXIES: use addresses and networks with commas"):
        read_settings({"GRIDPROOF_HTTP_TRUSTED_PROXIES": "10.0.0.5, proxy.example"})

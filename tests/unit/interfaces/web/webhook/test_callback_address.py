"""Callback addresses: public ones are accepted, private ones are refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.interfaces.web.edge import (
    WEBHOOK,
    Edge,
    RecordedCommands,
    accepting,
    codes_of,
    notification,
    problem_of,
)


@pytest.fixture(scope="module")
def edge() -> Edge:
    return Edge(commands=RecordedCommands(accepting))


@pytest.fixture(scope="module")
def client(edge: Edge) -> Iterator[Any]:
    with edge.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def key(edge: Edge) -> dict[str, str]:
    return edge.key("utility", utility="util-1")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://127.1/x",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3:8080/x",
        "http://192.168.0.1/",
        "http://[fe80::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00::1]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://100.64.0.1/",
        "http://localhost:9000/",
        "http://LOCALHOST./",
        "http://intranet/",
        "http://db.internal/",
        "https://user:pw@utility.example/",
        "https://user@utility.example/",
        "ftp://utility.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:///x",
        "https://utility.example:0/",
        "https://utility.example:99999/",
        "https://utility.example\\@10.0.0.1/",
        "https://utility.example/ x",
        "",
    ],
)
def test_private_or_invalid_callback_addresses_are_refused(
    edge: Edge, client: Any, key: dict[str, str], url: str
) -> None:
    edge.commands.given.clear()
    document = problem_of(client.post(WEBHOOK, json=notification(callback_url=url), headers=key))
    assert (document["status"], document["type"]) == (422, "/problems/callback-refused")
    assert codes_of(document) == ["callback_address_refused"]
    assert edge.commands.given == []


@pytest.mark.parametrize(
    "url", ["https://utility.example/cb", "http://8.8.8.8:8443/", "https://[2606:4700::1111]/x"]
)
def test_public_callback_addresses_are_accepted(
    edge: Edge, client: Any, key: dict[str, str], url: str
) -> None:
    edge.commands.given.clear()
    body = notification(callback_url=url, notification_id=url)  # otherwise it would be a repeat
    response = client.post(WEBHOOK, json=body, headers=key)
    assert response.status_code == 202
    assert edge.commands.given[0][0].notice.callback_url == url


def test_the_settings_can_allow_private_callback_addresses_but_no_other_scheme() -> None:
    edge = Edge(commands=RecordedCommands(accepting), allow_private_callbacks=True)
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        inside = notification(callback_url="http://127.0.0.1:9000/cb")
        assert client.post(WEBHOOK, json=inside, headers=key).status_code == 202
        odd = notification(callback_url="file:///etc/passwd")
        assert client.post(WEBHOOK, json=odd, headers=key).status_code == 422

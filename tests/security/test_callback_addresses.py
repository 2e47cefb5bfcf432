"""L3: a callback goes to a public address and an HTTP port, and the utility learns nothing of what answered there."""

import asyncio
import ipaddress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.callback import HttpUtilityNotifier, check_public
from application.callback import CallbackCalls
from application.ports.callback import CallbackAddressRefused, CallbackFailed, CallbackRefused, check_status
from application.ports.dispatch.open_work import OpenWork
from application.public_address import is_public
from interfaces.web.api.dr_event.documents import callback_document
from interfaces.web.api.webhook.callback_address import refusal_of
from tests.fakes.callback import FakeCallbackAddresses

PORTS = frozenset({80, 443, 8443})
NOT_PUBLIC = [
    "127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "168.63.129.16", "192.88.99.1", "198.18.0.1",
    "255.255.255.255", "224.0.0.1", "0.0.0.0", "::", "::1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "fec0::1", "fe80::1", "fd00::1", "ff02::1", "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8", "::ffff:127.0.0.1", "3fff::1", "5f00::1", "100::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "192.88.98.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_form_of_a_private_or_reserved_address_is_called(address: str) -> None:
    with pytest.raises(CallbackAddressRefused):
        check_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert refusal_of(f"https://{host}/in", ports=PORTS) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called(address: str) -> None:
    check_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert refusal_of(f"https://{host}/in", ports=PORTS) is None


@given(st.ip_addresses(v=4))
def test_a_translated_address_is_as_public_as_the_address_inside(inner: ipaddress.IPv4Address) -> None:
    for prefix in ("64:ff9b::", "::ffff:0:0"):
        outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(inner))
        assert is_public(outer) is is_public(inner)


@pytest.mark.parametrize(
    ("url", "is_called"),
    [
        ("https://utility.example/", True),
        ("http://utility.example/", True),
        ("https://utility.example:8443/", True),
        ("http://utility.example:22/", False),
        ("http://utility.example:6379/", False),
        ("https://utility.example:8080/", False),
    ],
)
def test_a_callback_goes_to_a_port_of_http_only(url: str, is_called: bool) -> None:
    assert (refusal_of(url, ports=PORTS) is None) is is_called
    assert refusal_of(url, ports=None) is None
    clock = SimpleNamespace(wall_seconds=lambda clock_s: clock_s)
    sender = HttpUtilityNotifier(clock=cast("Any", clock), secret_of=lambda _: None)
    if not is_called:  # before any name is resolved
        with pytest.raises(CallbackAddressRefused, match="its port is none of 80, 443, 8443"):
            asyncio.run(sender.send("util-1", url, "{}", uuid4(), "0" * 32))


SECRET = "root:x:0:0"


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (CallbackRefused(403, SECRET), "HTTP 403"),
        (CallbackAddressRefused("its address is not public", SECRET), "its address is not public"),
        (CallbackFailed("no connection, or no HTTP answer", SECRET), "no connection, or no HTTP answer"),
    ],
)
def test_the_text_of_an_answer_reaches_operators_and_is_not_recorded(error: Any, recorded: str) -> None:
    given: list[Any] = []
    rows = SimpleNamespace(park=lambda row, letters: given.append(letters[0].reason))
    bus = SimpleNamespace(handle=lambda command, context: given.append(command.reason))
    calls = CallbackCalls(
        store=cast("Any", None),
        event_log=cast("Any", None),
        rows=cast("Any", rows),
        bus=cast("Any", bus),
        notifier=cast("Any", SimpleNamespace(send=_raising(error))),
        addresses=FakeCallbackAddresses(),
        clock=cast("Any", SimpleNamespace(now=lambda: datetime.now(UTC))),
        reached=lambda place, in_flight: None,
    )
    work = SimpleNamespace(
        dr_event_id=uuid4(), callback_id=uuid4(), causation_id=uuid4(), correlation_id=uuid4(), kind="started",
        url="https://u.example/", address_id=None, body="{}", trace_id="0" * 32,
    )  # fmt: skip
    row = OpenWork(number=1, kind="callback", queue="util-1", position=1, tries=200, holder=1)
    dr_event = cast("Any", SimpleNamespace(utility_id="util-1"))
    asyncio.run(calls._send(cast("Any", work), dr_event, row))
    recorded_reason, letter = given
    assert SECRET in letter
    assert recorded_reason == recorded


def _raising(error: Exception) -> Any:
    async def send(*_: Any) -> None:
        raise error

    return send


def test_the_reason_of_a_refusal_is_its_status() -> None:
    with pytest.raises(CallbackRefused) as refused:
        check_status(404, SECRET)
    assert refused.value.reason == "HTTP 404"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (f"HTTP 403: {SECRET}", "HTTP 403"),
        ("10.0.0.7 is not a public address; GRIDPROOF_ALLOW_PRIVATE_CALLBACKS", "its address is not public"),
        ("ClientConnectorError: Cannot connect to host db:5432", "ClientConnectorError"),
    ],
)
def test_what_earlier_releases_recorded_is_shown_without_its_text(stored: str, shown: str) -> None:
    now = datetime.now(UTC)
    row: Any = SimpleNamespace(
        kind="started", state="undeliverable", requested_at=now, concluded_at=now, attempts=1, failure=stored
    )
    assert callback_document(str(uuid4()), row).failure == shown

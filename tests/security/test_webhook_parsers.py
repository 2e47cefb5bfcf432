"""Whatever comes, the parsers of the webhook end with a value or with the one error that names what is wrong."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from application.access.signature import AmbiguousKey, BadSignature, SignedRequest, request_signature
from interfaces.web.api.webhook.body import MOST_FIELDS, MOST_REASONS, NotificationBody, decode_notification
from interfaces.web.api.webhook.callback_address import refusal_of
from interfaces.web.authentication.client_address import client_network
from interfaces.web.problems import PROBLEM_TYPES, Problem
from tests.sizes import examples
from tests.unit.interfaces.web.edge import notification

FIELDS = [spec.name for spec in msgspec.structs.fields(NotificationBody)]
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -(2**70), 1e400, -0.0])
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-07-14T21:00:60Z", "2026-07-14T21:00:00"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=50) | MOMENTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)


def decoded(body: bytes, key: str | None = None, event_id: str | None = None) -> Any:
    """The notification, or the problem; every other exception is a failure of the test."""
    try:
        return decode_notification(body, idempotency_key=key, modified_event_id=event_id)
    except Problem as raised:
        problem = raised
    assert problem.name in {"malformed-body", "invalid-request"}
    assert PROBLEM_TYPES[problem.name].status == 400
    assert 1 <= len(problem.reasons) <= MOST_REASONS
    msgspec.json.encode(problem.document("0" * 32))
    return problem


@settings(max_examples=examples(200))
@given(st.binary(max_size=300), st.none() | st.text(max_size=20))
@example(b"\xef\xbb\xbf{}", None)
@example(b"[" * 200_000, None)
@example(b'{"a":' * 100_000, None)
@example(b'"\xed\xa0\x80"', None)
@example(b"1" * 5_000, None)
def test_any_bytes_are_decoded_or_refused(body: bytes, key: str | None) -> None:
    decoded(body, key)


@settings(max_examples=examples(100))
@given(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), VALUES, max_size=6),
    st.sets(st.sampled_from(FIELDS), max_size=3),
    st.none() | st.text(max_size=20),
)
def test_any_value_of_any_field_is_taken_or_refused(
    changes: dict[str, Any], removed: set[str], event_id: str | None
) -> None:
    body = {name: value for name, value in (notification() | changes).items() if name not in removed}
    found = decoded(msgspec.json.encode(body), "key", event_id)
    if isinstance(found, Problem):
        return
    notice = found.notice
    assert 2000 <= notice.starts_at.year < 2200
    assert decoded(msgspec.json.encode(body), "key", event_id).body_hash == found.body_hash


PRICE = st.fixed_dictionaries(
    {
        "starts_at": MOMENTS | VALUES,
        "per_kwh": st.decimals().map(str) | st.text("-+.0123456789eE_", max_size=25) | VALUES,
    },
    optional={"currency": VALUES},
)


@settings(max_examples=examples(100))
@given(st.lists(PRICE | VALUES, max_size=4))
@example([{"starts_at": "2026-07-14T21:00:00Z", "per_kwh": "1\n"}])
@example([{"starts_at": "2026-07-14T21:00:00Z", "per_kwh": "\u0661"}])
def test_any_price_is_an_exact_decimal_or_refused_by_its_place(prices: list[Any]) -> None:
    found = decoded(msgspec.json.encode(notification(prices=prices)))
    if isinstance(found, Problem):
        assert all(str(reason.field).startswith("prices[") for reason in found.reasons)
        return
    for price, written in zip(found.prices, prices, strict=True):
        assert price.per_kwh == written["per_kwh"]
        assert Decimal(price.per_kwh).is_finite()
        assert abs(Decimal(price.per_kwh)) < 10**9
        assert (price.starts_at.tzinfo, 2000 <= price.starts_at.year < 2200) == (UTC, True)


def test_the_number_of_fields_is_bounded() -> None:
    body = notification() | {f"x{number}": number for number in range(MOST_FIELDS)}
    assert isinstance(decoded(msgspec.json.encode(body)), Problem)


SIGNATURES = st.text(max_size=80) | st.lists(
    st.tuples(st.sampled_from(["t", "v1", "v2", "v3", ""]), st.text("0123456789abcdef=, é²", max_size=70)),
    max_size=5,
).map(lambda parts: ",".join(f"{name}={value}" for name, value in parts))


@settings(max_examples=examples(300))
@given(SIGNATURES, st.binary(max_size=20))
@example("t=999999999999,v2=00", b"")
@example("t=1,v2=" + "0" * 64, b"a.b")
def test_no_header_but_the_right_one_is_a_signature(header: str, key: bytes) -> None:
    request = SignedRequest("POST", b"/webhooks/utility/dr-notification", key, b"{}")
    with pytest.raises((BadSignature, AmbiguousKey)):
        request_signature(header, request, secret=b"secret")


@settings(max_examples=examples(300))
@given(st.text(max_size=60) | st.text("htps:/.@[]%0123456789abcdefx", max_size=40).map("http://".__add__))
@example("http://[::1%25]/")
@example("http://[::ffff:1.2.3.4.5]/")
@example("http://0x7f.1/")
@example("http://1.2.3.4:99999999999999999999/")
def test_any_text_as_a_callback_address_is_accepted_or_refused(url: str) -> None:
    for ports in (None, frozenset({80, 443})):
        assert refusal_of(url, ports=ports) is None or refusal_of(url, ports=ports)


@settings(max_examples=examples(100))
@given(st.text(max_size=60) | st.ip_addresses().map(str))
def test_any_client_address_has_a_network(host: str) -> None:
    assert client_network(host) == client_network(host)

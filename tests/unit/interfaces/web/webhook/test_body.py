"""The body of a notification: strictly validated, bounded, every invalid field reported."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from domain.dr_event import EventPrice
from interfaces.web.api.webhook.body import MOST_PRICES
from tests.unit.interfaces.web.edge import (
    WEBHOOK,
    Edge,
    RecordedCommands,
    accepting,
    notification,
    problem_of,
)


@pytest.fixture
def edge() -> Edge:
    return Edge(commands=RecordedCommands(accepting))


def test_the_body_hash_does_not_depend_on_formatting(edge: Edge) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Content-Type": "application/json"}
    body = notification()
    with edge.client() as client:
        client.post(WEBHOOK, content=msgspec.json.encode(body), headers=headers)
        other = dict(reversed(body.items()))
        client.post(WEBHOOK, content=msgspec.json.format(msgspec.json.encode(other)), headers=headers)
        client.post(WEBHOOK, json=notification(priority=2), headers=headers)
        client.post(WEBHOOK, json=notification(priority=2.0), headers=headers)
    first, second, third, fourth = (key.body_hash for _, _, key in edge.commands.given if key)
    assert first == second != third == fourth


def test_a_whole_number_may_be_written_with_a_decimal_point_or_exponent(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    numbers = {
        "priority": 2.0,
        "modification_number": 3.0,
        "randomize_start_s": 0.0,
        "target_reduction_kw": 1e3,
    }
    with edge.client() as client:
        assert client.post(WEBHOOK, json=notification(**numbers), headers=key).status_code == 202
        half = client.post(WEBHOOK, json=notification(priority=2.5), headers=key)
    notice = edge.commands.given[0][0].notice
    told = (notice.priority, notice.modification_number, notice.randomize_start_s, notice.target_kw)
    assert [(type(number), number) for number in told] == [(int, 2), (int, 3), (int, 0), (float, 1000)]
    assert problem_of(half)["reasons"][0]["field"] == "priority"


def test_all_invalid_fields_are_reported_together(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    body = notification(
        event_id=None,
        program=7,
        starts_at="2026-07-14T21:00:00",
        ends_at="tomorrow",
        target_reduction_kw="1200",
        facility_ids=["fac-001", 2, ""],
        priority=True,
        modification_number=-1,
        callback_url=5,
    )
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=body, headers=key))
    assert (document["status"], document["type"]) == (400, "/problems/invalid-request")
    assert {(reason["code"], reason["field"]) for reason in document["reasons"]} == {
        ("missing_field", "event_id"),
        ("invalid_field", "program"),
        ("invalid_field", "starts_at"),
        ("invalid_field", "ends_at"),
        ("invalid_field", "target_reduction_kw"),
        ("invalid_field", "facility_ids[1]"),
        ("invalid_field", "facility_ids[2]"),
        ("invalid_field", "priority"),
        ("invalid_field", "modification_number"),
        ("invalid_field", "callback_url"),
    }
    assert edge.commands.given == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"event_id": "\\ud800"}',
        b"{" + b",".join(b'"f%d":1' % i for i in range(100)) + b"}",
    ],
    ids=["empty", "cut", "list", "text", "no utf-8", "deep list", "deep object", "half a surrogate", "many"],
)
def test_a_body_that_is_not_a_json_object_is_malformed(edge: Edge, body: bytes) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Content-Type": "application/json"}
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, content=body, headers=headers))
    assert (document["status"], document["type"]) == (400, "/problems/malformed-body")
    assert edge.commands.given == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "a\x00b"),
        ("event_id", "UTIL-1\n"),
        ("program", "summer-peak\n"),
        ("event_id", "x" * 201),
        ("starts_at", "0001-01-01T00:00:00+14:00"),
        ("starts_at", "9999-12-31T23:59:59-14:00"),
        ("facility_ids", "fac-001"),
        ("facility_ids", [f"f{i}" for i in range(2_001)]),
        ("target_reduction_kw", 1e300),
    ],
)
def test_values_that_cannot_be_stored_are_refused(edge: Edge, field: str, value: Any) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(**{field: value}), headers=key))
    assert document["status"] == 400
    assert [reason["field"] for reason in document["reasons"]] == [field]


PRICE = {"starts_at": "2026-07-14T23:00:00+02:00", "per_kwh": "-0.0123"}


def test_kind_and_prices_are_taken_as_they_are_written(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        client.post(WEBHOOK, json=notification(kind="test", prices=[PRICE]), headers=key)
    command = edge.commands.given[0][0]
    at = datetime(2026, 7, 14, 21, tzinfo=UTC)
    assert (command.kind, command.prices) == ("test", (EventPrice(starts_at=at, per_kwh="-0.0123"),))
    assert command.prices[0].starts_at.tzinfo is UTC


@pytest.mark.parametrize("absent", [{}, {"kind": None, "prices": None}], ids=["left out", "null"])
def test_a_notification_without_kind_and_prices_is_an_event_without_prices(
    edge: Edge, absent: dict[str, Any]
) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        client.post(WEBHOOK, json=notification() | absent, headers=key)
    command = edge.commands.given[0][0]
    assert (command.kind, command.prices) == ("event", ())


@pytest.mark.parametrize(
    ("price", "why"),
    [
        ({"per_kwh": 0.08}, "Expected `str`, got `float` - at `$.per_kwh`"),
        ({"per_kwh": "8e-2"}, "matching regex"),
        ({"per_kwh": "0.08\n"}, "matching regex"),
        ({"per_kwh": "0." + "1" * 19}, "length <= 20"),
        ({"per_kwh": "NaN"}, "matching regex"),
        ({"starts_at": "2026-07-14T21:00:00"}, "timezone"),
        ({"starts_at": "1999-12-31T21:00:00Z"}, "2000 to 2199"),
        ({"currency": "EUR"}, "unknown field `currency`"),
    ],
)
def test_each_wrong_price_is_named_by_its_place(edge: Edge, price: dict[str, Any], why: str) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        body = notification(prices=[PRICE, PRICE | price, 7])
        document = problem_of(client.post(WEBHOOK, json=body, headers=key))
    first, second = document["reasons"]
    assert (first["code"], first["field"], second["field"]) == ("invalid_field", "prices[1]", "prices[2]")
    assert why in first["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ""),
        ("kind", "x" * 51),
        ("kind", "a\x00b"),
        ("kind", 7),
        ("prices", {}),
        ("prices", [PRICE] * (MOST_PRICES + 1)),
    ],
)
def test_kind_and_prices_are_bounded(edge: Edge, field: str, value: Any) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(**{field: value}), headers=key))
    assert [(reason["code"], reason["field"]) for reason in document["reasons"]] == [("invalid_field", field)]


def test_unknown_fields_are_ignored(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        assert client.post(WEBHOOK, json=notification(season="summer"), headers=key).status_code == 202


def test_a_body_over_the_limit_is_refused_before_the_key_is_looked_up(edge: Edge) -> None:
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, content=b"x" * 300_000))
    assert (document["status"], document["type"]) == (413, "/problems/body-too-large")
    assert edge.api_keys.asked == 0


def test_a_body_of_undeclared_length_over_the_limit_is_refused(edge: Edge) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Content-Type": "application/json"}
    taken = 0

    def chunks() -> Any:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield b" " * 10_000

    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, content=chunks(), headers=headers))
    assert (document["status"], document["type"]) == (413, "/problems/body-too-large")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_a_body_not_declared_as_json_is_refused(edge: Edge, content_type: str | None) -> None:
    headers = edge.key("utility", utility="util-1")
    if content_type:
        headers["Content-Type"] = content_type
    with edge.client() as client:
        document = problem_of(
            client.post(WEBHOOK, content=msgspec.json.encode(notification()), headers=headers)
        )
    assert (document["status"], document["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("event_id", ["summer/1", "/", ".", ".."])
def test_a_dr_event_whose_id_no_address_can_name_is_refused(edge: Edge, event_id: str) -> None:
    with edge.client() as client:
        refused = client.post(
            WEBHOOK, json=notification(event_id=event_id), headers=edge.key("utility", utility="util-1")
        )
    (reason,) = problem_of(refused)["reasons"]
    assert (refused.status_code, reason["code"], reason["field"]) == (400, "invalid_field", "event_id")
    assert "no address can name it" in reason["detail"]
    assert edge.commands.given == []

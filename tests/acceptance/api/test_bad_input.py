"""Bad input: each case has its own status, problem type and reason, and stores only what it should."""

import json
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.api.running_api import (
    CONTRACTED,
    ELSEWHERE,
    IN_MAINTENANCE,
    SIGNING_SECRET,
    WEBHOOK,
    Door,
    day,
    notification,
    running_door,
    utc_now,
)
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer, fresh_database
from tests.webhook_signature import sign


@pytest.fixture(scope="module")
def door(postgres_server: PostgresServer) -> Iterator[Door]:
    with fresh_database(postgres_server) as database, running_door(database) as running:
        running.header("utility", "util-1")
        running.header("utility", "util-2")
        yield running


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["trace_id"] == response.headers["x-trace-id"]
    assert document["status"] == response.status_code
    return document


MALFORMED: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing field": ({"ends_at": None}, "missing_field", "ends_at"),
    "wrong type": ({"target_reduction_kw": "a lot"}, "invalid_field", "target_reduction_kw"),
    "naive time": ({"starts_at": day(2).replace(tzinfo=None)}, "invalid_field", "starts_at"),
    "list of numbers": ({"facility_ids": [1]}, "invalid_field", "facility_ids[0]"),
    "price as a number": (
        {"prices": [{"starts_at": "2026-07-14T21:00:00Z", "per_kwh": 0.08}]},
        "invalid_field",
        "prices[0]",
    ),
    "kind as a number": ({"kind": 7}, "invalid_field", "kind"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_notification_is_a_400_and_stores_nothing(door: Door, case: str) -> None:
    changes, code, field = MALFORMED[case]
    body = notification(**{name: value for name, value in changes.items() if name != "starts_at"})
    if "starts_at" in changes:
        body["starts_at"] = changes["starts_at"].isoformat()
    before = door.stored()
    document = problem_of(door.post(body))
    assert (document["status"], document["type"]) == (400, "/problems/invalid-request")
    assert (code, field) in [(reason["code"], reason["field"]) for reason in document["reasons"]]
    assert door.stored() == before


def in_five_minutes() -> datetime:
    """Evaluated in the test, because the table is built long before some of its cases run."""
    return utc_now() + timedelta(seconds=300)


def sunday() -> datetime:
    return day(6 - utc_now().weekday() + 7)


def weekday(*, hour: int, minute: int = 0) -> datetime:
    return day(7 - utc_now().weekday(), hour=hour) + timedelta(minutes=minute)


def price(at: datetime) -> dict[str, str]:
    return {"starts_at": at.isoformat(), "per_kwh": "0.08"}


IN_CONTRACT = {"program": "weekday-peak", "facility_ids": [CONTRACTED], "target_reduction_kw": 50}
"""Of a program for weekdays from 08:00 to 20:00, at most 30 days ahead."""
INFEASIBLE: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "unknown facility": ({"facility_ids": ["fac-001", "fac-404"]}, "unknown_facility", "fac-404"),
    "duplicate facility": ({"facility_ids": ["fac-001", "fac-001"]}, "duplicate_facility", "fac-001"),
    "no facility": ({"facility_ids": []}, "no_facility", None),
    "in maintenance": ({"facility_ids": [IN_MAINTENANCE]}, "facility_in_maintenance", IN_MAINTENANCE),
    "another utility's facility": ({"facility_ids": [ELSEWHERE]}, "unknown_facility", ELSEWHERE),
    "past start": ({"starts_at": day(-1)}, "past_start", None),
    "end before start": ({"ends_at": day(1)}, "end_before_start", None),
    "too short": ({"ends_at": day(2) + timedelta(seconds=1_799)}, "too_short", None),
    "too long": ({"ends_at": day(2) + timedelta(hours=5)}, "too_long", None),
    "too late": ({"starts_at": in_five_minutes}, "notice_too_short", None),
    "too much": ({"target_reduction_kw": 100_000}, "insufficient_capacity", None),
    "nothing asked": ({"target_reduction_kw": 0}, "target_not_positive", None),
    "weekday method on a Sunday": ({**IN_CONTRACT, "starts_at": sunday}, "weekdays_only", CONTRACTED),
    "no whole quarter-hour": (
        {
            **IN_CONTRACT,
            "starts_at": lambda: weekday(hour=14, minute=5),
            "ends_at": lambda: weekday(hour=14, minute=20),
        },
        "no_whole_interval",
        None,
    ),
    "outside of the hours": (
        {**IN_CONTRACT, "starts_at": lambda: weekday(hour=19)},
        "outside_hours",
        CONTRACTED,
    ),
    "beyond the longest lead": ({**IN_CONTRACT, "starts_at": lambda: day(31)}, "too_far_ahead", None),
    "no firm service level": ({**IN_CONTRACT, "program": "base-load"}, "no_service_level", CONTRACTED),
    "unknown kind": ({**IN_CONTRACT, "kind": "emergency"}, "unknown_kind", None),
    "kind without a rule": ({"kind": "test"}, "unknown_kind", None),
    "prices without a rule": ({"prices": lambda: [price(day(2))]}, "no_settlement_rule", None),
    "price between intervals": (
        {**IN_CONTRACT, "prices": lambda: [price(day(2) + timedelta(minutes=15))]},
        "price_off_interval",
        None,
    ),
    "two prices of one interval": (
        {**IN_CONTRACT, "prices": lambda: [price(day(2))] * 2},
        "duplicate_price",
        None,
    ),
    "unknown program": ({"program": "no-such-program"}, "unknown_program", None),
    "program of another utility": ({"program": "winter-peak"}, "unknown_program", None),
}


@pytest.mark.parametrize("case", INFEASIBLE)
def test_an_infeasible_notification_is_a_422_with_its_reason_and_recorded_as_rejected(
    door: Door, case: str
) -> None:
    changes, code, facility_id = INFEASIBLE[case]
    changed = {name: value() if callable(value) else value for name, value in changes.items()}
    document = problem_of(door.post(notification(**changed)))
    assert (document["status"], document["type"]) == (422, "/problems/infeasible")
    assert (code, facility_id) in [
        (reason["code"], reason.get("facility_id")) for reason in document["reasons"]
    ]
    assert door.topics(document["dr_event_id"]) == ["dr-event.opened.v1", "dr-event.rejected.v1"]


def test_all_reasons_against_a_notification_are_reported_together(door: Door) -> None:
    body = notification(starts_at=day(-1), facility_ids=["fac-404", IN_MAINTENANCE, "fac-001", "fac-001"])
    document = problem_of(door.post(body))
    assert {reason["code"] for reason in document["reasons"]} >= {
        "past_start",
        "unknown_facility",
        "facility_in_maintenance",
        "duplicate_facility",
    }


def test_an_overlap_is_a_422_that_names_the_facility_but_not_the_other_dr_event(door: Door) -> None:
    first = door.post(notification(starts_at=day(30), facility_ids=["fac-003"]))
    assert first.status_code == 202
    overlapping = notification(starts_at=day(30) + timedelta(hours=1), facility_ids=["fac-003", "fac-004"])
    response = door.post(overlapping)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (422, "/problems/infeasible")
    assert [(reason["code"], reason.get("facility_id")) for reason in document["reasons"]] == [
        ("overlap", "fac-003")
    ]
    assert first.json()["dr_event_id"] not in response.text
    after = notification(starts_at=day(30) + timedelta(hours=2, minutes=15), facility_ids=["fac-003"])
    assert door.post(after).status_code == 202  # restored within five minutes, prepared ten minutes ahead


def test_a_repeated_idempotency_key_gets_the_same_refusal_and_records_nothing(door: Door) -> None:
    body = notification(facility_ids=["fac-404"])
    first = problem_of(door.post(body))
    before = door.stored()
    second = problem_of(door.post(body))
    assert {**first, "trace_id": None} == {**second, "trace_id": None}
    assert door.stored() == before


def test_an_idempotency_key_with_another_body_is_a_409_and_stores_nothing(door: Door) -> None:
    body = notification(starts_at=day(40), facility_ids=["fac-005"])
    assert door.post(body).status_code == 202
    before = door.stored()
    document = problem_of(door.post({**body, "target_reduction_kw": 99}))
    assert (document["status"], document["type"]) == (409, "/problems/idempotency-mismatch")
    assert door.stored() == before


@pytest.mark.parametrize("key", [None, "Bearer gpk_000000000000_wrong", "Basic dTpw"])
def test_a_post_without_a_valid_api_key_is_a_401_and_stores_nothing(door: Door, key: str | None) -> None:
    before = door.stored()
    headers = {} if key is None else {"Authorization": key}
    response = httpx.post(door.url + WEBHOOK, json=notification(), headers=headers, timeout=ANSWER_S)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (401, "/problems/unauthenticated")
    assert door.stored() == before


def signed(door: Door, body: dict[str, Any], signature: str | None) -> httpx.Response:
    headers = {**door.header("utility", "util-2"), "Content-Type": "application/json"}
    if signature:
        headers["X-Signature"] = signature
    return httpx.post(
        door.url + WEBHOOK, content=json.dumps(body).encode(), headers=headers, timeout=ANSWER_S
    )


def test_wrong_and_stale_signatures_are_distinct_401s_and_store_nothing(door: Door) -> None:
    body = notification(program="winter-peak", starts_at=day(50), facility_ids=[ELSEWHERE])
    raw, before = json.dumps(body).encode(), door.stored()
    wrong = sign(b"another secret", raw, at=utc_now())
    stale = sign(SIGNING_SECRET, raw, at=utc_now() - timedelta(minutes=6))
    for signature, problem in ((None, "bad-signature"), (wrong, "bad-signature"), (stale, "stale-signature")):
        document = problem_of(signed(door, body, signature))
        assert (document["status"], document["type"]) == (401, f"/problems/{problem}")
        assert document["reasons"][0]["code"] == problem.replace("-", "_")
    assert door.stored() == before
    genuine = sign(SIGNING_SECRET, raw, at=utc_now())
    assert signed(door, body, genuine).status_code == 202


def test_a_body_of_ten_megabytes_is_a_413_and_stores_nothing(door: Door) -> None:
    before = door.stored()
    body = {**notification(), "padding": "x" * 10_000_000}
    document = problem_of(door.post(body))
    assert (document["status"], document["type"]) == (413, "/problems/body-too-large")
    assert door.stored() == before


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_is_too_large_is_refused_before_it_has_arrived(door: Door, chunked: bool) -> None:
    address = urlsplit(door.url)
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10000000"
    authorization = door.header("utility", "util-1")["Authorization"].encode()
    head = b"\r\n".join(
        [
            f"POST {WEBHOOK} HTTP/1.1".encode(),
            b"Host: localhost",
            b"Content-Type: application/json",
            b"Authorization: " + authorization,
            length,
            b"",
            b"",
        ]
    )
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    with socket.create_connection(
        (str(address.hostname), int(address.port or 80)), timeout=ANSWER_S
    ) as connection:
        connection.sendall(head + (chunk * 20 if chunked else b"{"))  # 320 KB, without an end
        status_line = connection.makefile("rb").readline()
    assert status_line.startswith(b"HTTP/1.1 413")


def test_a_post_while_the_store_is_down_is_a_503_and_succeeds_later(
    postgres_server: PostgresServer, database: Database
) -> None:
    with running_door(database) as door:
        body = notification()
        door.header("utility", "util-1")
        assert door.post(notification(facility_ids=["fac-404"])).status_code == 422
        postgres_server.kill()
        try:
            down = door.post(body)
            assert httpx.get(door.url + "/health", timeout=ANSWER_S).status_code == 200
            assert httpx.get(door.url + "/ready", timeout=ANSWER_S).status_code == 503
        finally:
            postgres_server.start()
        document = problem_of(down)
        assert (document["status"], document["type"]) == (503, "/problems/unavailable")
        assert int(down.headers["retry-after"]) >= 1
        answers = []
        for _ in range(20):
            answers.append(door.post(body).status_code)
            if answers[-1] != 503:
                break
        assert answers[-1] == 202

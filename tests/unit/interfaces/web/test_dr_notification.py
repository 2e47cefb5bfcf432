"""The webhook: what it refuses, in which order, and what it hands to the bus."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from application.command_bus import IdempotencyMismatch, TooManyConflicts
from application.commands.dr_event import CancelDREvent, Judgement, JudgeNotification
from application.ports.event_store import EventStoreUnavailable
from domain.dr_event import Reason
from domain.errors import NotAllowedNow, UnknownDREvent
from domain.identifiers import dr_event_id
from interfaces.web.signature import sign
from projections.dr_events import DREventRow
from tests.unit.interfaces.web.edge import (
    NOW,
    WEBHOOK,
    Edge,
    RecordedCommands,
    accepting,
    codes_of,
    notification,
    problem_of,
)

SECRET = b"a secret of the utility"


def raising(error: Exception) -> RecordedCommands:
    def answer(command: Any) -> Any:
        raise error

    return RecordedCommands(answer)


@pytest.fixture
def edge() -> Edge:
    return Edge(commands=RecordedCommands(accepting))


def test_an_accepted_notification_is_answered_with_its_status_url(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(), headers=key)
    wanted = dr_event_id("util-1", "UTIL-1")
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/dr-events/{wanted}"
    assert response.json() == {
        "dr_event_id": str(wanted),
        "event_id": "UTIL-1",
        "status": "accepted",
        "status_url": f"/api/dr-events/{wanted}",
        "capacity_kw": 1300.0,
        "capacity_source": "declared",
        "shortfall_kw": 0.0,
    }


def test_the_command_says_who_asked_and_under_which_trace(edge: Edge) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        **edge.key("utility", utility="util-1"),
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
    }
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(priority=3), headers=headers)
    command, context, key = edge.commands.given[0]
    assert isinstance(command, JudgeNotification)
    assert command.utility_id == "util-1"
    assert command.notice.facility_ids == ("fac-001", "fac-002")
    assert command.notice.starts_at == NOW + timedelta(hours=4)
    assert command.notice.priority == 3
    assert (context.actor, context.tenant, context.trace_id) == ("utility:util-1", "util-1", trace_id)
    assert key is not None
    assert (key.scope, key.key) == (f"util-1 POST {WEBHOOK}", "n-1")
    assert response.headers["x-trace-id"] == trace_id


def test_the_header_is_the_idempotency_key_before_the_notification_id(edge: Edge) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Idempotency-Key": "k-9"}
    with edge.client() as client:
        client.post(WEBHOOK, json=notification(notification_id=None), headers=headers)
    command, _, key = edge.commands.given[0]
    assert key is not None
    assert key.key == "k-9"
    assert command.notice.notification_id == "k-9"


def test_the_same_content_has_one_hash_however_it_is_written(edge: Edge) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Content-Type": "application/json"}
    body = notification()
    with edge.client() as client:
        client.post(WEBHOOK, content=msgspec.json.encode(body), headers=headers)
        other = dict(reversed(body.items()))
        client.post(WEBHOOK, content=msgspec.json.format(msgspec.json.encode(other)), headers=headers)
        client.post(WEBHOOK, json=notification(priority=2), headers=headers)
    first, second, third = (key.body_hash for _, _, key in edge.commands.given if key)
    assert first == second != third


def test_an_infeasible_notification_names_every_reason_and_facility() -> None:
    reasons = (
        Reason(code="past_start", detail="in the past"),
        Reason(code="unknown_facility", detail="no such facility", facility_id="fac-404"),
    )
    rejected = Judgement(dr_event_id=dr_event_id("util-1", "UTIL-1"), status="rejected", reasons=reasons)
    edge = Edge(commands=RecordedCommands(lambda command: rejected))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(), headers=key)
    document = problem_of(response)
    assert (response.status_code, document["type"]) == (422, "/problems/infeasible")
    assert document["dr_event_id"] == str(rejected.dr_event_id)
    assert document["reasons"] == [
        {"code": "past_start", "detail": "in the past"},
        {"code": "unknown_facility", "detail": "no such facility", "facility_id": "fac-404"},
    ]


def test_every_wrong_field_is_named_at_once(edge: Edge) -> None:
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
def test_what_is_no_json_object_is_malformed(edge: Edge, body: bytes) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Content-Type": "application/json"}
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, content=body, headers=headers))
    assert (document["status"], document["type"]) == (400, "/problems/malformed-body")
    assert edge.commands.given == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "a\x00b"),
        ("event_id", "x" * 201),
        ("starts_at", "0001-01-01T00:00:00+14:00"),
        ("starts_at", "9999-12-31T23:59:59-14:00"),
        ("facility_ids", "fac-001"),
        ("facility_ids", [f"f{i}" for i in range(2_001)]),
        ("target_reduction_kw", 1e300),
    ],
)
def test_values_that_no_store_should_see_are_refused(edge: Edge, field: str, value: Any) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(**{field: value}), headers=key))
    assert document["status"] == 400
    assert [reason["field"] for reason in document["reasons"]] == [field]


def test_unknown_fields_are_ignored(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        assert client.post(WEBHOOK, json=notification(season="summer"), headers=key).status_code == 202


def test_a_body_over_the_limit_is_refused_before_the_key_is_looked_at(edge: Edge) -> None:
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, content=b"x" * 300_000))
    assert (document["status"], document["type"]) == (413, "/problems/body-too-large")
    assert edge.api_keys.asked == 0


def test_a_body_that_hides_its_length_is_cut_off_at_the_limit(edge: Edge) -> None:
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
    "authorization", [None, "", "Bearer", "Bearer x", "Basic dTpw", "Bearer gpk_abcdef012345_x"]
)
def test_without_a_valid_key_nothing_is_read(edge: Edge, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with edge.client() as client:
        response = client.post(WEBHOOK, content=b"not even json", headers=headers)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (401, "/problems/unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard", "admin"])
def test_only_utilities_post_notifications(edge: Edge, role: Any) -> None:
    key = edge.key(role)
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(), headers=key))
    assert (document["status"], document["type"]) == (403, "/problems/forbidden")


def test_over_the_rate_the_caller_is_told_when_to_come_back() -> None:
    edge = Edge(commands=RecordedCommands(accepting), rate_per_s=1)
    key, other = edge.key("utility", utility="util-1"), edge.key("utility", utility="util-2")
    with edge.client() as client:
        answers = [client.post(WEBHOOK, content=b"", headers=key) for _ in range(20)]
        assert client.post(WEBHOOK, json=notification(), headers=other).status_code == 202
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert problem_of(refused)["type"] == "/problems/rate-exceeded"
    assert int(refused.headers["retry-after"]) >= 1


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


def signed(edge: Edge, headers: dict[str, str], signature: str | None, body: bytes) -> Any:
    headers = {**headers, "Content-Type": "application/json"}
    if signature is not None:
        headers["X-Signature"] = signature
    with edge.client() as client:
        return client.post(WEBHOOK, content=body, headers=headers)


BODY = msgspec.json.encode(notification())


@pytest.mark.parametrize(
    ("signature", "status", "problem"),
    [
        (sign(SECRET, BODY, at=NOW), 202, None),
        (sign(SECRET, BODY, at=NOW - timedelta(seconds=299)), 202, None),
        (sign(b"old", BODY, at=NOW) + "," + sign(SECRET, BODY, at=NOW).partition(",")[2], 202, None),
        (None, 401, "bad-signature"),
        ("", 401, "bad-signature"),
        ("t=1,v1=", 401, "bad-signature"),
        ("t=x,v1=00", 401, "bad-signature"),
        ("v1=00", 401, "bad-signature"),
        (sign(b"another", BODY, at=NOW), 401, "bad-signature"),
        (sign(SECRET, BODY + b" ", at=NOW), 401, "bad-signature"),
        (sign(b"another", BODY, at=NOW - timedelta(hours=1)), 401, "bad-signature"),
        (sign(SECRET, BODY, at=NOW - timedelta(seconds=301)), 401, "stale-signature"),
        (sign(SECRET, BODY, at=NOW + timedelta(seconds=301)), 401, "stale-signature"),
    ],
)
def test_a_utility_that_signs_is_held_to_it(signature: str | None, status: int, problem: str | None) -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    response = signed(edge, edge.key("utility", utility="util-1"), signature, BODY)
    assert response.status_code == status
    if problem:
        assert problem_of(response)["type"] == f"/problems/{problem}"
        assert edge.commands.given == []


def test_a_utility_that_does_not_sign_is_not_asked_to() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    assert signed(edge, edge.key("utility", utility="util-2"), None, BODY).status_code == 202


def test_on_a_fast_clock_a_signature_still_has_time_to_arrive() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    edge.clock.speed = 3_600.0
    signature = sign(SECRET, BODY, at=NOW - timedelta(hours=2))
    assert signed(edge, edge.key("utility", utility="util-1"), signature, BODY).status_code == 202


def test_a_secret_that_cannot_be_had_closes_the_door() -> None:
    edge = Edge(commands=RecordedCommands(accepting))

    def missing(utility_id: str) -> bytes | None:
        raise ValueError("the secret env:NAME is not in the environment")

    edge.webhook_secret = missing
    response = signed(edge, edge.key("utility", utility="util-1"), None, BODY)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (503, "/problems/unavailable")
    assert "NAME" not in response.text


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
def test_callback_addresses_inside_or_odd_are_refused(edge: Edge, url: str) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(callback_url=url), headers=key))
    assert (document["status"], document["type"]) == (422, "/problems/callback-refused")
    assert codes_of(document) == ["callback_address_refused"]
    assert edge.commands.given == []


@pytest.mark.parametrize(
    "url", ["https://utility.example/cb", "http://8.8.8.8:8080/", "https://[2606:4700::1111]/x"]
)
def test_public_callback_addresses_are_taken(edge: Edge, url: str) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(callback_url=url), headers=key)
    assert response.status_code == 202
    assert edge.commands.given[0][0].notice.callback_url == url


def test_the_settings_can_allow_private_callback_addresses_but_no_other_scheme(edge: Edge) -> None:
    edge.allow_private_callbacks = True
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        inside = notification(callback_url="http://127.0.0.1:9000/cb")
        assert client.post(WEBHOOK, json=inside, headers=key).status_code == 202
        odd = notification(callback_url="file:///etc/passwd")
        assert client.post(WEBHOOK, json=odd, headers=key).status_code == 422


def waiting(count: int, status: Any = "accepted") -> dict[str, DREventRow]:
    ids = [dr_event_id("util-9", str(number)) for number in range(count)]
    return {
        str(found): DREventRow(
            dr_event_id=found,
            utility_id="util-9",
            utility_event_id=str(number),
            status=status,
            opened_at=NOW,
            changed_at=NOW,
            correlation_id=found,
            trace_id="0" * 31 + "1",
            domain_events=2,
        )
        for number, found in enumerate(ids)
    }


@pytest.mark.parametrize(
    ("count", "status", "answer"), [(3, "accepted", 503), (2, "accepted", 202), (3, "scheduled", 202)]
)
def test_a_full_queue_closes_the_door(edge: Edge, count: int, status: str, answer: int) -> None:
    edge.queue_depth = 3
    edge.read_models.dr_events.rows = waiting(count, status)
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(), headers=key)
    assert response.status_code == answer
    if answer == 503:
        assert problem_of(response)["type"] == "/problems/queue-full"
        assert int(response.headers["retry-after"]) >= 1
        assert edge.commands.given == []


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (EventStoreUnavailable("connection to 10.0.0.1 refused"), 503, "unavailable"),
        (TooManyConflicts("lost 12 races"), 503, "unavailable"),
        (IdempotencyMismatch("the key 'n-1' was used before with another body"), 409, "idempotency-mismatch"),
        (ZeroDivisionError("internal detail"), 500, "internal-error"),
    ],
)
def test_failures_of_the_bus_are_problems_that_leak_nothing(
    error: Exception, status: int, problem: str
) -> None:
    edge = Edge(commands=raising(error))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(), headers=key)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (status, f"/problems/{problem}")
    assert ("retry-after" in response.headers) == (status == 503)
    assert "10.0.0.1" not in response.text
    assert "internal detail" not in response.text


def test_a_twin_saved_in_between_gets_the_first_answer() -> None:
    first = Judgement(dr_event_id=dr_event_id("util-1", "UTIL-1"), status="accepted", capacity_kw=5.0)
    answers = [msgspec.structs.replace(first, status="already_known"), first]
    edge = Edge(commands=RecordedCommands(lambda command: answers.pop(0)))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(), headers=key)
    assert (response.status_code, response.json()["status"]) == (202, "accepted")


def test_another_notification_of_a_known_dr_event_is_told_so() -> None:
    known = Judgement(dr_event_id=dr_event_id("util-1", "UTIL-1"), status="already_known")
    edge = Edge(commands=RecordedCommands(lambda command: known))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(notification_id="n-2"), headers=key)
    assert (response.status_code, response.json()["status"]) == (200, "already_known")


def test_a_utility_cancels_its_own_dr_event(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.delete(f"{WEBHOOK}/UTIL-1", headers=key)
    command = edge.commands.given[0][0]
    assert isinstance(command, CancelDREvent)
    assert command.dr_event_id == dr_event_id("util-1", "UTIL-1")
    assert response.status_code == 200
    assert response.json() == {
        "dr_event_id": str(command.dr_event_id),
        "event_id": "UTIL-1",
        "status": "cancelled",
    }


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (NotAllowedNow("DR event x is active and cannot be cancelled"), 409, "not-allowed-now"),
        (UnknownDREvent("no DR event x"), 404, "not-found"),
    ],
)
def test_a_cancellation_that_is_refused_says_why(error: Exception, status: int, problem: str) -> None:
    edge = Edge(commands=raising(error))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.delete(f"{WEBHOOK}/UTIL-1", headers=key))
    assert (document["status"], document["type"]) == (status, f"/problems/{problem}")
    assert document["detail"] == str(error)


def test_a_cancellation_is_signed_too() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        assert client.delete(f"{WEBHOOK}/UTIL-1", headers=key).status_code == 401
        headers = {**key, "X-Signature": sign(SECRET, b"", at=NOW)}
        assert client.delete(f"{WEBHOOK}/UTIL-1", headers=headers).status_code == 200


def test_a_modification_is_refused_with_what_to_do_instead(edge: Edge) -> None:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.patch(f"{WEBHOOK}/UTIL-1", json={}, headers=key))
    assert (document["status"], document["type"]) == (409, "/problems/modification-not-supported")
    assert edge.commands.given == []

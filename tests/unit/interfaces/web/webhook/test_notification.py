"""The webhook: authorization, the command on the bus, and the responses."""

from datetime import timedelta
from typing import Any

import pytest

from application.command_bus.bus import IdempotencyMismatch, TooManyConflicts
from application.commands.dr_event import Judgement, JudgeNotification
from application.event_store.event_mapper import UnknownTopic
from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import EventStoreUnavailable, SaveTooLarge
from domain.dr_event import Reason
from domain.errors import NotAllowedNow, UnknownDREvent
from domain.identifiers import dr_event_id
from projections.dr_event.projection import DREventRow
from tests.unit.interfaces.web.edge import (
    NOW,
    WEBHOOK,
    Edge,
    RecordedCommands,
    accepting,
    notification,
    problem_of,
)


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
        "capacity_degraded_kw": 0.0,
        "shortfall_kw": 0.0,
        "blocked_facilities": None,
        "at_risk_facilities": None,
        "starts_at": None,
        "ends_at": None,
    }


def test_the_command_carries_its_actor_and_trace_id(edge: Edge) -> None:
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


def test_the_idempotency_key_header_takes_precedence_over_the_notification_id(edge: Edge) -> None:
    headers = {**edge.key("utility", utility="util-1"), "Idempotency-Key": "k-9"}
    with edge.client() as client:
        client.post(WEBHOOK, json=notification(notification_id=None), headers=headers)
    command, _, key = edge.commands.given[0]
    assert key is not None
    assert key.key == "k-9"
    assert command.notice.notification_id == "k-9"


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


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Basic dTpw", "Bearer gpk_abcdef012345_x"]
)
def test_without_a_valid_key_the_body_is_not_parsed(edge: Edge, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with edge.client() as client:
        response = client.post(WEBHOOK, content=b"not even json", headers=headers)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (401, "/problems/unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard", "admin"])
def test_only_utilities_may_post_notifications(edge: Edge, role: Any) -> None:
    key = edge.key(role)
    with edge.client() as client:
        document = problem_of(client.post(WEBHOOK, json=notification(), headers=key))
    assert (document["status"], document["type"]) == (403, "/problems/forbidden")


def test_a_caller_over_the_rate_limit_receives_retry_after() -> None:
    edge = Edge(commands=RecordedCommands(accepting), rate_per_s=1)
    key, other = edge.key("utility", utility="util-1"), edge.key("utility", utility="util-2")
    with edge.client() as client:
        answers = [client.post(WEBHOOK, content=b"", headers=key) for _ in range(20)]
        assert client.post(WEBHOOK, json=notification(), headers=other).status_code == 202
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert problem_of(refused)["type"] == "/problems/rate-exceeded"
    assert int(refused.headers["retry-after"]) >= 1


def waiting(count: int, status: Any = "accepted") -> dict[str, DREventRow]:
    ids = [dr_event_id("util-1", str(number)) for number in range(count)]
    return {
        str(found): DREventRow(
            dr_event_id=found,
            utility_id="util-1",
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
def test_a_notification_gives_503_while_the_queue_is_full(
    edge: Edge, count: int, status: str, answer: int
) -> None:
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
        (ClockSkewed("the clock of this process is +600.0 s from the database's"), 503, "unavailable"),
        (TooManyConflicts("lost 12 races"), 503, "unavailable"),
        (SaveTooLarge("9,000 domain events in one save: split the command"), 413, "body-too-large"),
        (UnknownTopic("dr-event.tariff-noted.v1, version 4"), 503, "unavailable"),
        (IdempotencyMismatch("the key 'n-1' was used before with another body"), 409, "idempotency-mismatch"),
        (ZeroDivisionError("internal detail"), 500, "internal-error"),
    ],
)
def test_errors_of_the_command_bus_become_problems_without_internal_details(
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


def test_a_second_notification_of_a_recorded_dr_event_is_reported_as_a_repeat() -> None:
    known = Judgement(dr_event_id=dr_event_id("util-1", "UTIL-1"), status="already_known")
    edge = Edge(commands=RecordedCommands(lambda command: known))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        response = client.post(WEBHOOK, json=notification(notification_id="n-2"), headers=key)
    assert (response.status_code, response.json()["status"]) == (200, "already_known")


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (NotAllowedNow("DR event x is active and cannot be cancelled"), 409, "not-allowed-now"),
        (UnknownDREvent("no DR event x"), 404, "not-found"),
    ],
)
def test_a_refused_cancellation_states_the_reason(error: Exception, status: int, problem: str) -> None:
    edge = Edge(commands=raising(error))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.delete(f"{WEBHOOK}/UTIL-1", headers=key))
    assert (document["status"], document["type"]) == (status, f"/problems/{problem}")
    assert document["detail"] == str(error)

"""Modification and cancellation by a utility: the command on the bus, and the response to each outcome."""

from typing import Any

import pytest

from application.commands.dr_event import Cancellation, CancelNotifiedDREvent, Modification, ModifyDREvent
from domain.dr_event import Reason
from domain.errors import UnknownDREvent
from domain.identifiers import dr_event_id
from tests.unit.interfaces.web.edge import WEBHOOK, Edge, RecordedCommands, codes_of, notification, problem_of

DR_EVENT = dr_event_id("util-1", "UTIL-1")
ADDRESS = f"{WEBHOOK}/UTIL-1"


def modifying(**facts: Any) -> Edge:
    given: dict[str, Any] = {
        "status": "modified",
        "dr_event_status": "scheduled",
        "modification_number": 2,
    }
    reply = Modification(dr_event_id=DR_EVENT, **(given | facts))
    return Edge(commands=RecordedCommands(lambda _: reply))


def cancelling(**facts: Any) -> Edge:
    reply = Cancellation(dr_event_id=DR_EVENT, **({"status": "cancelled"} | facts))
    return Edge(commands=RecordedCommands(lambda _: reply))


def patched(edge: Edge, **changes: Any) -> Any:
    key = edge.key("utility", utility="util-1")
    body = notification(**({"modification_number": 2, "event_id": None} | changes))
    with edge.client() as client:
        return client.patch(ADDRESS, json=body, headers=key)


def deleted(edge: Edge, query: str = "") -> Any:
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        return client.delete(ADDRESS + query, headers=key)


def test_a_modification_command_is_complete_and_its_idempotency_scope_names_the_event() -> None:
    edge = modifying(capacity_degraded_kw=40.0)
    response = patched(edge, target_reduction_kw=900)
    command, context, key = edge.commands.given[0]
    assert isinstance(command, ModifyDREvent)
    assert (command.utility_id, command.utility_event_id) == ("util-1", "UTIL-1")
    assert (command.notice.modification_number, command.notice.target_kw) == (2, 900.0)
    assert context.tenant == "util-1"
    assert key is not None
    assert (key.scope, key.key) == (f"util-1 PATCH {WEBHOOK}/UTIL-1", "n-1")
    assert response.status_code == 202
    document = response.json()
    assert (document["status"], document["dr_event_status"], document["modification_number"]) == (
        "modified",
        "scheduled",
        2,
    )
    assert document["capacity_degraded_kw"] == 40.0


def test_a_modification_says_of_kind_and_prices_what_is_sent() -> None:
    edge = modifying()
    patched(edge)
    patched(edge, kind="test", prices=[{"starts_at": "2026-07-14T21:00:00Z", "per_kwh": "0.1"}])
    patched(edge, prices=[])
    commands = [command for command, _, _ in edge.commands.given]
    assert [(one.kind, one.prices) for one in commands[::2]] == [(None, None), (None, ())]
    assert (commands[1].kind, [price.per_kwh for price in commands[1].prices]) == ("test", ["0.1"])


@pytest.mark.parametrize("status", ["stale", "repeated"])
def test_a_modification_without_effect_returns_the_current_modification_number(status: str) -> None:
    response = patched(modifying(status=status, modification_number=7))
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["modification_number"]) == (status, 7)


def test_a_refused_modification_names_every_reason() -> None:
    reasons = (
        Reason(code="too_long", detail="lasts too long"),
        Reason(code="overlap", detail="serves another", facility_id="fac-002"),
    )
    document = problem_of(patched(modifying(status="refused", reasons=reasons)))
    assert (document["status"], document["type"]) == (422, "/problems/infeasible")
    assert codes_of(document) == ["too_long", "overlap"]


def test_a_modification_after_the_end_gives_409() -> None:
    final = (Reason(code="settlement_final", detail="the settlement is final"),)
    ended = modifying(status="ended", dr_event_status="completed", reasons=final)
    document = problem_of(patched(ended))
    assert (document["status"], document["type"]) == (409, "/problems/not-allowed-now")
    assert "is completed" in document["detail"]
    assert codes_of(document) == ["settlement_final"]


def test_a_modification_of_an_unknown_dr_event_is_answered_404() -> None:
    def unknown(command: Any) -> Any:
        raise UnknownDREvent("no DR event x")

    document = problem_of(patched(Edge(commands=RecordedCommands(unknown))))
    assert (document["status"], document["type"]) == (404, "/problems/not-found")


def test_a_modification_requires_a_number_and_the_event_id_of_its_address() -> None:
    edge = modifying()
    document = problem_of(patched(edge, modification_number=None, event_id="UTIL-2"))
    assert document["status"] == 400
    assert {(reason["field"], reason["code"]) for reason in document["reasons"]} == {
        ("event_id", "invalid_field"),
        ("modification_number", "missing_field"),
    }
    assert edge.commands.given == []


def test_a_cancellation_names_the_utility_event_and_may_precede_the_notification() -> None:
    edge = cancelling()
    response = deleted(edge, "?modification_number=3&reason=storm%20over")
    command = edge.commands.given[0][0]
    assert command == CancelNotifiedDREvent(
        utility_id="util-1",
        utility_event_id="UTIL-1",
        modification_number=3,
        reason="storm over",
        may_withdraw=False,
    )
    assert response.status_code == 200
    assert response.json() == {
        "dr_event_id": str(DR_EVENT),
        "event_id": "UTIL-1",
        "status": "cancelled",
        "outcome": "cancelled",
    }


def test_a_cancellation_without_a_number_applies_to_any_modification() -> None:
    edge = cancelling()
    deleted(edge)
    assert edge.commands.given[0][0].modification_number is None


@pytest.mark.parametrize("outcome", ["already_cancelled", "stale"])
def test_a_cancellation_without_effect_returns_its_outcome(outcome: str) -> None:
    response = deleted(cancelling(outcome=outcome))
    assert (response.status_code, response.json()["outcome"]) == (200, outcome)


def test_a_cancellation_after_the_window_gives_409() -> None:
    document = problem_of(deleted(cancelling(outcome="ended", status="recovering")))
    assert (document["status"], document["type"]) == (409, "/problems/not-allowed-now")
    assert "is recovering" in document["detail"]


@pytest.mark.parametrize("event_id", ["a%00b", "a%0Ab", "x" * 201])
def test_an_event_id_invalid_in_a_body_is_also_refused_in_an_address(event_id: str) -> None:
    edge = cancelling()
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        document = problem_of(client.delete(f"{WEBHOOK}/{event_id}", headers=key))
    assert (document["type"], document["reasons"][0]["field"]) == ("/problems/invalid-request", "event_id")
    assert edge.commands.given == []


@pytest.mark.parametrize("query", ["?modification_number=-1", "?modification_number=x", "?reason="])
def test_an_invalid_query_of_a_cancellation_is_refused(query: str) -> None:
    edge = cancelling()
    assert problem_of(deleted(edge, query))["type"] == "/problems/invalid-request"
    assert edge.commands.given == []

"""Modifications, cancellations and opt-outs over HTTP, with the real bus and PostgreSQL."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.forecasts import Forecasts
from domain.forecast import cycle_start_of
from tests.acceptance.api.running_api import (
    CONTRACTED,
    SIGNING_SECRET,
    WEBHOOK,
    Door,
    day,
    notification,
    running_door,
    utc_now,
)
from tests.patience import ANSWER_S
from tests.sample_values import forecast
from tests.servers import Database
from tests.webhook_signature import sign


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


def accepted(door: Door, **changes: Any) -> dict[str, Any]:
    """The body of an accepted request, with the answer's id under `dr_event_id`."""
    body = notification(**changes)
    response = door.post(body)
    assert response.status_code == 202, response.text
    return body | {"dr_event_id": response.json()["dr_event_id"]}


def changed(asked: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    body = {name: value for name, value in asked.items() if name not in ("event_id", "dr_event_id")}
    return (
        body
        | {"notification_id": f"{asked['notification_id']}-{number}", "modification_number": number}
        | changes
    )


def shown(door: Door, asked: dict[str, Any]) -> dict[str, Any]:
    door.project()
    row: dict[str, Any] = door.get(f"/api/dr-events/{asked['dr_event_id']}", "operator").json()
    return row


def test_a_modification_applies_at_once_and_a_repeat_gets_the_same_answer(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    body = changed(asked, 1, target_reduction_kw=150, facility_ids=["fac-001", "fac-003"])
    first = door.change("PATCH", asked["event_id"], body)
    assert (first.status_code, first.json()["status"]) == (202, "modified")
    assert first.json()["modification_number"] == 1
    events = door.stored()
    again = door.change("PATCH", asked["event_id"], body)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert door.stored() == events
    row = shown(door, asked)
    assert (row["target_kw"], sorted(row["facility_ids"])) == (150.0, ["fac-001", "fac-003"])
    # The removed facility is free, the added one is not.
    assert door.post(notification(starts_at=day(3), facility_ids=["fac-002"])).status_code == 202
    assert door.post(notification(starts_at=day(3), facility_ids=["fac-003"])).status_code == 422


def priced(body: dict[str, Any], *per_kwh: str) -> dict[str, Any]:
    at = datetime.fromisoformat(body["starts_at"])
    hours = [(at + timedelta(hours=hour)).isoformat() for hour in range(len(per_kwh))]
    return body | {
        "prices": [{"starts_at": one, "per_kwh": price} for one, price in zip(hours, per_kwh, strict=True)]
    }


def test_kind_and_prices_are_shown_and_prices_change_by_patch_as_a_whole(door: Door) -> None:
    weekday = day(7 - utc_now().weekday(), hour=14)
    of_program = {"program": "weekday-peak", "facility_ids": [CONTRACTED], "target_reduction_kw": 50}
    asked = accepted(door, **of_program, starts_at=weekday, kind="test")
    assert (shown(door, asked)["kind"], shown(door, asked)["prices"]) == ("test", [])
    body = priced(changed(asked, 1), "0.0810", "-0.02")
    first = door.change("PATCH", asked["event_id"], body)
    assert (first.status_code, first.json()["status"]) == (202, "modified")
    events = door.stored()
    assert door.change("PATCH", asked["event_id"], body).content == first.content
    assert door.stored() == events
    row = shown(door, asked)
    assert (row["kind"], [price["per_kwh"] for price in row["prices"]]) == ("test", ["0.0810", "-0.02"])
    moved = (weekday + timedelta(minutes=15)).isoformat()
    refused = door.change("PATCH", asked["event_id"], changed(asked, 2, starts_at=moved))
    assert [reason["code"] for reason in refused.json()["reasons"]] == ["prices_of_other_window"]
    door.change("PATCH", asked["event_id"], priced(changed(asked, 3), "0.09"))
    assert [price["per_kwh"] for price in shown(door, asked)["prices"]] == ["0.09"]
    audited = door.get(f"/api/audit/dr-events/{asked['dr_event_id']}", "auditor").json()
    assert audited["dr_event"]["prices"] == shown(door, asked)["prices"]
    assert any("kind test; per kWh 0.0810 at" in step["what"] for step in audited["steps"])


def test_stale_and_repeated_modification_numbers_change_nothing(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    door.change("PATCH", asked["event_id"], changed(asked, 5, target_reduction_kw=150))
    events, _ = door.stored()
    for number, status in ((3, "stale"), (5, "repeated")):
        body = changed(asked, number, target_reduction_kw=1, notification_id=f"late-{number}")
        response = door.change("PATCH", asked["event_id"], body)
        assert (response.status_code, response.json()["status"]) == (200, status)
        assert response.json()["modification_number"] == 5
    assert door.stored()[0] == events


def test_a_refused_modification_leaves_the_dr_event_unchanged(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    body = changed(asked, 1, facility_ids=["fac-001", "fac-404"], target_reduction_kw=900)
    refused = door.change("PATCH", asked["event_id"], body)
    assert refused.status_code == 422
    assert {reason["code"] for reason in refused.json()["reasons"]} >= {"unknown_facility"}
    row = shown(door, asked)
    assert (row["status"], row["target_kw"]) == ("accepted", 100.0)


def test_an_idempotency_key_with_another_modification_is_a_409(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    body = changed(asked, 1, target_reduction_kw=150)
    assert door.change("PATCH", asked["event_id"], body).status_code == 202
    mismatch = door.change("PATCH", asked["event_id"], body | {"target_reduction_kw": 151})
    assert (mismatch.status_code, mismatch.json()["type"]) == (409, "/problems/idempotency-mismatch")


def test_an_unknown_dr_event_cannot_be_modified(door: Door) -> None:
    response = door.change("PATCH", "E-nobody", changed(notification(), 1))
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


def test_a_cancelled_dr_event_cannot_be_modified(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    assert door.change("DELETE", asked["event_id"]).json()["outcome"] == "cancelled"
    assert door.change("DELETE", asked["event_id"]).json()["outcome"] == "already_cancelled"
    response = door.change("PATCH", asked["event_id"], changed(asked, 1))
    assert (response.status_code, response.json()["type"]) == (409, "/problems/not-allowed-now")


def test_a_cancellation_older_than_the_current_modification_is_stale(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    door.change("PATCH", asked["event_id"], changed(asked, 4, target_reduction_kw=150))
    stale = door.change("DELETE", asked["event_id"], query="?modification_number=2")
    assert (stale.status_code, stale.json()["outcome"]) == (200, "stale")
    assert shown(door, asked)["status"] == "accepted"
    assert (
        door.change("DELETE", asked["event_id"], query="?modification_number=5").json()["status"]
        == "cancelled"
    )


def test_a_cancellation_before_its_notification_holds_until_a_higher_modification_number(door: Door) -> None:
    first = door.change("DELETE", "E-early", query="?modification_number=1")
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    late = door.post(notification(event_id="E-early", starts_at=day(3)))
    assert (late.status_code, late.json()["status"]) == (200, "cancelled")
    assert door.post(notification(starts_at=day(3))).status_code == 202, "nothing was reserved"
    higher = notification(event_id="E-early", starts_at=day(4), modification_number=2)
    assert door.post(higher).status_code == 202


def test_a_modification_by_a_signing_utility_needs_a_signature(door: Door) -> None:
    url = f"{door.url}{WEBHOOK}/E-1"
    headers = door.header("utility", "util-2") | {"Content-Type": "application/json"}
    content = b'{"notification_id": "n", "modification_number": 1}'
    unsigned = httpx.patch(url, content=content, headers=headers, timeout=ANSWER_S)
    assert (unsigned.status_code, unsigned.json()["type"]) == (401, "/problems/bad-signature")
    signature = {
        "X-Signature": sign(SIGNING_SECRET, content, at=utc_now(), method="PATCH", target=f"{WEBHOOK}/E-1")
    }
    signed = httpx.patch(url, content=content, headers=headers | signature, timeout=ANSWER_S)
    assert signed.status_code == 400


def test_a_facility_opts_out_and_in_again_and_each_is_recorded_with_its_reason(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    out = door.order("/api/facilities/fac-001/opt-out", {"reason": "a concert tonight"})
    assert (out.status_code, out.json()["opted_out"]) == (200, True)
    assert out.json()["dr_event_ids"] == [asked["dr_event_id"]]
    refused = door.post(notification(starts_at=day(5), facility_ids=["fac-001"]))
    assert refused.status_code == 422
    assert [reason["code"] for reason in refused.json()["reasons"]] == ["opted_out"]
    back = door.order("/api/facilities/fac-001/opt-in", {"reason": "it is off"})
    assert (back.status_code, back.json()["opted_out"]) == (200, False)
    assert door.post(notification(starts_at=day(5), facility_ids=["fac-001"])).status_code == 202


def test_opting_out_of_one_dr_event_does_not_affect_others(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    body = {"reason": "chiller broken", "dr_event_id": asked["dr_event_id"]}
    assert door.order("/api/facilities/fac-001/opt-out", body).status_code == 200
    assert door.post(notification(starts_at=day(5), facility_ids=["fac-001"])).status_code == 202


@pytest.mark.parametrize(
    ("facility_id", "body", "status"),
    [
        ("fac-404", {"reason": "x"}, 404),
        ("fac-001", {"reason": " "}, 400),
        ("fac-001", {}, 400),
        ("fac-001", {"reason": "x", "why": "y"}, 400),
    ],
)
def test_an_invalid_opt_out_is_refused_with_a_problem_type(
    door: Door, facility_id: str, body: dict[str, str], status: int
) -> None:
    response = door.order(f"/api/facilities/{facility_id}/opt-out", body)
    assert response.status_code == status
    assert response.json()["type"].startswith("/problems/")


def test_a_utility_cannot_opt_a_facility_out(door: Door) -> None:
    url = f"{door.url}/api/facilities/fac-001/opt-out"
    response = httpx.post(
        url, json={"reason": "x"}, headers=door.header("utility", "util-1"), timeout=ANSWER_S
    )
    assert response.status_code == 403


def test_a_second_cancellation_by_an_operator_reports_already_cancelled(door: Door) -> None:
    asked = accepted(door, starts_at=day(3))
    for outcome in ("cancelled", "already_cancelled"):
        response = door.order(f"/api/dr-events/{asked['dr_event_id']}/cancellation", {"reason": "storm over"})
        assert (response.status_code, response.json()["outcome"]) == (200, outcome)


def test_the_capacity_on_degraded_forecasts_is_reported_separately(door: Door) -> None:
    cycle = cycle_start_of(utc_now())
    forecasts = PostgresEventStore(Forecasts, door.database.app_dsn)
    try:
        forecasts.save(
            [
                forecast("fac-001", 60.0, at=cycle, degraded=True),
                forecast("fac-002", 70.0, at=cycle),
            ]
        )
    finally:
        forecasts.close()
    document = door.post(notification(starts_at=cycle + timedelta(hours=5))).json()
    assert (document["capacity_kw"], document["capacity_degraded_kw"]) == (130.0, 60.0)
    assert document["capacity_source"] == "forecast"
    assert document["starts_at"] is not None

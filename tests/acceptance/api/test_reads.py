"""Reads over HTTP: a utility's own DR events, the audit trail, and the actions and reads of operators."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.clock import SystemClock
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.meter_reading import MeterReading, partition_of
from tests.acceptance.api.running_api import (
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
from tests.servers import PostgresServer, fresh_database
from tests.webhook_signature import sign


@pytest.fixture(scope="module")
def door(postgres_server: PostgresServer) -> Iterator[Door]:
    with fresh_database(postgres_server) as database, running_door(database) as running:
        yield running


def accepted(door: Door, **changes: Any) -> str:
    response = door.post(notification(**changes))
    assert response.status_code == 202, response.text
    door.project()
    return str(response.json()["dr_event_id"])


def test_the_status_url_shows_the_dr_event(door: Door) -> None:
    response = door.post(notification(starts_at=day(3)))
    door.project()
    shown = door.get(response.headers["location"], "utility", "util-1").json()
    assert shown["dr_event_id"] == response.json()["dr_event_id"]
    assert shown["status"] == "accepted"
    assert datetime.fromisoformat(shown["starts_at"]) == day(3)
    assert shown["capacity_kw"] == 200.0


def test_a_read_that_prefers_to_wait_is_answered_once_the_dr_event_is_projected(door: Door) -> None:
    door.project()
    url = door.post(notification(starts_at=day(21))).json()["status_url"]
    key = door.header("utility", "util-1")

    def read(prefer: str) -> httpx.Response:
        return httpx.get(door.url + url, headers=key | {"Prefer": prefer}, timeout=ANSWER_S)

    late = read("wait=0")
    assert (late.status_code, late.headers.get("preference-applied")) == (404, None)
    with ThreadPoolExecutor(1) as waiting:
        reading = waiting.submit(read, "wait=10")
        door.project("dr_events")
        answer = reading.result(timeout=ANSWER_S)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=10")
    assert answer.json()["status"] == "accepted"


def test_a_utility_cannot_read_another_utilitys_dr_event(door: Door) -> None:
    dr_event_id = accepted(door, starts_at=day(4))
    for path in (f"/api/dr-events/{dr_event_id}", f"/api/dr-events/{dr_event_id}/dispatches"):
        assert door.get(path, "utility", "util-1").status_code == 200
        other = door.get(path, "utility", "util-2")
        unknown = door.get(path.replace(dr_event_id, str(uuid4())), "utility", "util-2")
        assert (other.status_code, other.json()["type"]) == (404, "/problems/not-found")
        assert unknown.status_code == 404
    listed = door.get("/api/dr-events", "utility", "util-2").json()["items"]
    assert all(row["utility_id"] == "util-2" for row in listed)


def test_a_utility_cannot_cancel_another_utilitys_dr_event(door: Door) -> None:
    body = notification(starts_at=day(5))
    assert door.post(body).status_code == 202
    target = f"{WEBHOOK}/{body['event_id']}"
    signature = sign(SIGNING_SECRET, b"", at=utc_now(), method="DELETE", target=target)
    headers = {**door.header("utility", "util-2"), "X-Signature": signature}
    response = httpx.delete(door.url + target, headers=headers, timeout=ANSWER_S)
    # It cancels a future DR event of its own under that name; the other utility's is unaffected.
    assert response.json()["outcome"] == "cancelled"
    again = door.post(notification(event_id=body["event_id"]))
    assert (again.status_code, again.json()["status"]) == (200, "already_known")


def test_a_cancellation_by_the_utility_frees_the_facilities(door: Door) -> None:
    body = notification(starts_at=day(6))
    assert door.post(body).status_code == 202
    url = f"{door.url}{WEBHOOK}/{body['event_id']}"
    for _ in range(2):  # a repeated cancellation changes nothing
        response = httpx.delete(url, headers=door.header("utility", "util-1"), timeout=ANSWER_S)
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert door.post(notification(starts_at=day(6))).status_code == 202


def test_paging_through_a_list_returns_each_item_once(door: Door) -> None:
    wanted = {accepted(door, starts_at=day(70 + number), facility_ids=["fac-007"]) for number in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        page = door.get(f"/api/dr-events?limit=2&facility=fac-007{cursor}", "dashboard").json()
        seen += [item["dr_event_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted


def test_an_invalid_cursor_is_refused(door: Door) -> None:
    response = door.get("/api/dr-events?cursor=nonsense", "operator")
    assert (response.status_code, response.json()["type"]) == (400, "/problems/invalid-request")


def test_the_audit_trail_names_the_requester_and_shows_the_state_as_of_a_moment(door: Door) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    dr_event_id = accepted(door, starts_at=day(8))
    document = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()
    assert [step["who"] for step in document["steps"]] == ["utility:util-1"] * len(document["steps"])
    assert document["dr_event"]["status"] == "accepted"
    assert sorted(document["reserved_facilities"]) == ["fac-001", "fac-002"]
    as_of = before.isoformat().replace("+00:00", "Z")
    earlier = door.get(f"/api/audit/dr-events/{dr_event_id}?as_of={as_of}", "auditor")
    assert earlier.status_code == 404
    naive = door.get(f"/api/audit/dr-events/{dr_event_id}?as_of=2026-07-14T21:00:00", "auditor")
    assert naive.status_code == 400


def test_a_dr_event_is_read_as_of_a_time_and_as_of_a_position(door: Door) -> None:
    dr_event_id = accepted(door, starts_at=day(11))
    then = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()
    before, position = utc_now(), then["position"]
    url = f"{door.url}/api/dr-events/{dr_event_id}"
    operator = door.header("operator")
    assert (
        httpx.post(
            f"{url}/cancellation", json={"reason": "rain"}, headers=operator, timeout=ANSWER_S
        ).status_code
        == 200
    )
    door.project()

    live = door.get(f"/api/dr-events/{dr_event_id}", "utility", "util-1").json()
    head = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["position"]
    assert live["status"] == "cancelled"
    moment = before.isoformat().replace("+00:00", "Z")
    for as_of in (moment, position):
        shown = door.get(f"/api/dr-events/{dr_event_id}?as_of={as_of}", "utility", "util-1").json()
        listed = door.get(f"/api/dr-events?as_of={as_of}", "utility", "util-1").json()["items"]
        audited = door.get(f"/api/audit/dr-events/{dr_event_id}?as_of={as_of}", "auditor").json()
        assert shown.keys() == live.keys()
        assert shown["status"] == audited["dr_event"]["status"] == "accepted"
        assert shown in listed
        assert audited["position"] == position
        dispatches = door.get(f"/api/dr-events/{dr_event_id}/dispatches?as_of={as_of}", "operator").json()
        assert dispatches == {"items": [], "next_cursor": None}
    assert door.get(f"/api/dr-events/{dr_event_id}?as_of={head}", "operator").json() == live
    assert door.get(f"/api/dr-events?as_of={head}", "operator").json() == (
        door.get("/api/dr-events", "operator").json()
    )


def test_a_utility_cannot_read_past_states_of_another_utilitys_dr_event(door: Door) -> None:
    dr_event_id = accepted(door, starts_at=day(12))
    head = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["position"]
    other = door.get(f"/api/dr-events/{dr_event_id}?as_of={head}", "utility", "util-2")
    unknown = door.get(f"/api/dr-events/{uuid4()}?as_of={head}", "utility", "util-2")
    assert (other.status_code, unknown.status_code) == (404, 404)
    assert other.json()["detail"].replace(dr_event_id, "") == re.sub(
        r"[0-9a-f-]{36}", "", unknown.json()["detail"]
    )
    listed = door.get(f"/api/dr-events?as_of={head}", "utility", "util-2").json()["items"]
    assert all(row["utility_id"] == "util-2" for row in listed)


def test_an_invalid_as_of_is_refused(door: Door) -> None:
    dr_event_id = accepted(door, starts_at=day(13))
    refusals = {"yesterday": 400, "2026-07-14T21:00:00": 400, "-3": 400, "": 400, "9" * 18: 404, "0": 404}
    for as_of, status in refusals.items():
        for path in (f"/api/dr-events/{dr_event_id}", f"/api/audit/dr-events/{dr_event_id}"):
            refused = door.get(f"{path}?as_of={as_of}", "auditor")
            assert refused.status_code == status, (as_of, refused.text)
            assert refused.json()["type"].startswith("/problems/")


def test_an_operator_ends_and_starts_maintenance(door: Door) -> None:
    url = f"{door.url}/api/facilities/{IN_MAINTENANCE}/maintenance"
    operator = door.header("operator")
    assert httpx.post(url, json={"action": "end"}, headers=operator, timeout=ANSWER_S).status_code == 200
    door.project()
    assert door.get(f"/api/facilities/{IN_MAINTENANCE}", "dashboard").json()["status"] == "active"
    refused = httpx.post(url, json={"action": "start"}, headers=operator, timeout=ANSWER_S)
    assert (refused.status_code, refused.json()["reasons"][0]["code"]) == (400, "reason_required")
    assert (
        httpx.post(
            url, json={"action": "start", "reason": "roof"}, headers=operator, timeout=ANSWER_S
        ).status_code
        == 200
    )
    door.project()
    assert door.get(f"/api/facilities/{IN_MAINTENANCE}", "dashboard").json()["status"] == "maintenance"
    missing = httpx.post(
        f"{door.url}/api/facilities/fac-404/maintenance",
        json={"action": "end"},
        headers=operator,
        timeout=ANSWER_S,
    )
    assert missing.status_code == 404


def test_an_operators_cancellation_is_in_the_audit_trail_with_its_reason(door: Door) -> None:
    dr_event_id = accepted(door, starts_at=day(9))
    url = f"{door.url}/api/dr-events/{dr_event_id}/cancellation"
    headers = door.header("operator")
    assert (
        httpx.post(url, json={"reason": "grid is fine"}, headers=headers, timeout=ANSWER_S).status_code == 200
    )
    steps = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["steps"]
    cancelled = next(step for step in steps if step["topic"] == "dr-event.cancelled.v1")
    assert cancelled["who"].startswith("operator:")
    assert cancelled["why"] == "grid is fine"


def test_an_override_without_a_dispatch_is_refused(door: Door) -> None:
    url = f"{door.url}/api/dr-events/{uuid4()}/overrides"
    body = {"facility_id": "fac-001", "reason": "known to be well"}
    response = httpx.post(url, json=body, headers=door.header("operator"), timeout=ANSWER_S)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


def test_a_facility_without_readings_has_an_empty_current_value_and_history(door: Door) -> None:
    door.project()
    current = door.get("/api/facilities/fac-001/current", "dashboard").json()
    assert current == {
        "facility_id": "fac-001",
        "kw": None,
        "measured_at": None,
        "age_s": None,
        "stale": True,
        "source": "none",
    }
    history = door.get(
        "/api/facilities/fac-001/history?from=2026-07-14T00:00:00Z&to=2026-07-14T01:00:00Z", "dashboard"
    )
    assert [step["kw"] for step in history.json()["steps"]] == [None] * 4


@pytest.mark.parametrize(("resolution", "count"), [("15s", 240), ("1m", 60), ("15m", 4), ("1h", 1)])
def test_the_history_of_a_measured_facility_has_its_load(door: Door, resolution: str, count: int) -> None:
    door.project()
    start = datetime(2026, 7, 14, tzinfo=UTC)
    PostgresTelemetryStore(door.pool, SystemClock()).write_readings(
        partition_of("fac-002"),
        1,
        [MeterReading("fac-002", "m", start + timedelta(seconds=s), 12.0, None) for s in range(0, 3_600, 15)],
    )
    document = door.get(
        "/api/facilities/fac-002/history?from=2026-07-14T00:00:00Z&to=2026-07-14T01:00:00Z"
        f"&resolution={resolution}",
        "dashboard",
    ).json()
    assert {step["kw"] for step in document["steps"]} == {12.0}
    assert sum(step["kwh"] for step in document["steps"]) == pytest.approx(12.0)
    assert (len(document["steps"]), document["source"]) == (count, "store")


@pytest.mark.parametrize(
    "path", ["/api/portfolio", "/api/facilities", "/api/alerts", "/api/dead-letters", "/api/projections"]
)
def test_operators_may_read_every_other_list(door: Door, path: str) -> None:
    assert door.get(path, "operator").status_code == 200


def test_a_running_api_is_ready(door: Door) -> None:
    document = httpx.get(f"{door.url}/ready", timeout=ANSWER_S).json()
    assert document["status"] == "ready"
    assert [state["name"] for state in document["dependencies"]] == ["postgresql"]

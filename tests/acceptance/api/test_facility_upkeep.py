"""Upkeep of facilities over HTTP: a move, heated zones, groups, an owner's opt-out, the end of a facility's service."""

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from application.access.api_keys import issue
from tests.acceptance.api.running_api import CLOCK, Door, day, notification, running_door
from tests.patience import ANSWER_S
from tests.servers import PostgresServer, fresh_database

ENTRY: dict[str, Any] = {
    "facility_id": "fac-100",
    "tz": "Europe/Berlin",
    "region": "DE-BE",
    "meters": [{"meter_id": "main"}],
    "zones": [
        {"zone_id": "hall", "curtailable_kw": 40, "max_magnitude": -2, "lower_comfort_limit_c": 18},
        {"zone_id": "server-room", "curtailable_kw": 10},
    ],
    "bms": {"address": "https://bms.example/fac-100"},
    "programs": [],
    "groups": ["schools", "east"],
}


@pytest.fixture(scope="module")
def door(postgres_server: PostgresServer) -> Iterator[Door]:
    with fresh_database(postgres_server) as database, running_door(database) as running:
        yield running


def register(door: Door, **changes: Any) -> httpx.Response:
    body, admin = ENTRY | changes, door.header("admin")
    response = httpx.post(f"{door.url}/api/facilities", json=body, headers=admin, timeout=ANSWER_S)
    door.project()
    return response


def shown(door: Door, facility_id: str) -> Any:
    return door.get(f"/api/facilities/{facility_id}", "dashboard").json()


def test_a_facility_moves_from_a_day_on_and_shows_its_history(door: Door) -> None:
    assert register(door).json()["domain_events"] > 0
    tomorrow = CLOCK.now().date() + timedelta(days=2)
    moved = {"tz": "Europe/London", "region": "GB-ENG", "in_force_from": tomorrow.isoformat()}
    assert [register(door, **moved).json()["domain_events"] for _ in range(2)] == [1, 0]
    document = shown(door, "fac-100")
    assert (document["tz"], document["region"]) == ("Europe/Berlin", "DE-BE")
    assert [(one["tz"], one["from_day"]) for one in document["location_history"]] == [
        ("Europe/Berlin", None),
        ("Europe/London", tomorrow.isoformat()),
    ]


def test_heated_zones_and_groups_are_registered_listed_and_summed(door: Door) -> None:
    register(door)
    zones = {zone["zone_id"]: zone for zone in shown(door, "fac-100")["zones"]}
    assert (zones["hall"]["max_magnitude"], zones["hall"]["lower_comfort_limit_c"]) == (-2, 18)
    listed = door.get("/api/facilities?group=schools", "dashboard").json()["items"]
    assert [row["facility_id"] for row in listed] == ["fac-100"]
    groups = door.get("/api/portfolio/groups", "dashboard").json()["items"]
    assert [(one["group"], one["facilities"], one["declared_kw"]) for one in groups] == [
        ("east", 1, 50.0),
        ("schools", 1, 50.0),
    ]


def test_a_heated_zone_without_a_lower_limit_is_refused_by_its_field(door: Door) -> None:
    refused = register(door, zones=[{"zone_id": "hall", "curtailable_kw": 40, "max_magnitude": -2}])
    assert refused.status_code == 400
    assert [reason["field"] for reason in refused.json()["reasons"]] == ["zones[0].lower_comfort_limit_c"]


def test_an_owner_opts_its_facility_out_and_in_and_no_other(door: Door) -> None:
    issued = issue(
        door.api_keys, role="owner", facility_id="fac-003", at=CLOCK.now(), entropy=secrets.token_bytes(38)
    )
    owner = {"Authorization": f"Bearer {issued.token}"}

    def ask(path: str, facility_id: str = "fac-003") -> int:
        url = f"{door.url}/api/facilities/{facility_id}/{path}"
        return httpx.post(url, json={"reason": "exams"}, headers=owner, timeout=ANSWER_S).status_code

    assert ask("opt-out") == 200
    door.project()
    document = httpx.get(f"{door.url}/api/facilities/fac-003", headers=owner, timeout=ANSWER_S).json()
    assert (document["opted_out"], document["opted_out_by_owner"]) == (True, True)
    refused = door.post(notification(starts_at=day(5), facility_ids=["fac-001", "fac-003"])).json()
    assert next((one["code"], one["facility_id"]) for one in refused["reasons"]) == ("opted_out", "fac-003")
    assert ask("opt-in") == 200
    assert [ask("opt-out", "fac-001"), ask("maintenance"), ask("deactivation")] == [404, 403, 403]
    door.order("/api/facilities/fac-003/opt-out", {"reason": "the BMS is faulty"})
    assert ask("opt-in") == 409


def test_a_deactivated_facility_is_released_and_can_be_reactivated(door: Door) -> None:
    dr_event_id = door.post(notification(starts_at=day(6), facility_ids=["fac-004", "fac-005"])).json()[
        "dr_event_id"
    ]
    done = door.order("/api/facilities/fac-004/deactivation", {"reason": "sold"})
    assert (done.status_code, done.json()) == (200, {"facility_id": "fac-004", "dr_event_ids": [dr_event_id]})
    door.project()
    document = shown(door, "fac-004")
    assert (document["status"], document["status_reason"], document["reservations"]) == (
        "deactivated",
        "sold",
        [],
    )
    steps = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["steps"]
    assert [step["why"] for step in steps if step["topic"] == "facility.released.v1"] == [
        "it was deactivated: sold"
    ]
    refused = door.post(notification(starts_at=day(7), facility_ids=["fac-004", "fac-005"])).json()
    assert "facility_deactivated" in {one["code"] for one in refused["reasons"]}
    assert door.order("/api/facilities/fac-004/reactivation", {"reason": "the wrong one"}).status_code == 200
    again = door.post(notification(starts_at=day(7), facility_ids=["fac-004", "fac-005"]))
    assert again.status_code == 202

"""Registration of a facility over HTTP, and the health of a facility."""

from typing import Any

import pytest

from application.commands.facility import RegisterFacility
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.open_alerts import begin_alert
from tests.property.projections.projected_logs import PortfolioWalk
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of

ENTRY: dict[str, Any] = {
    "facility_id": "fac-100",
    "tz": "Europe/Berlin",
    "meters": [{"meter_id": "main"}],
    "zones": [{"zone_id": "zone-1", "curtailable_kw": 40}],
    "bms": {"address": "https://bms.example/fac-100"},
    "programs": ["summer-peak"],
}


def ordering() -> Edge:
    edge = Edge(others={"known_programs": lambda asked: dict.fromkeys({"summer-peak"} & set(asked))})
    edge.commands.answer = lambda command: 6
    return edge


def test_a_facility_is_registered_from_a_portfolio_entry() -> None:
    edge = ordering()
    key = edge.key("operator")
    with edge.client() as client:
        response = client.post("/api/facilities", json=ENTRY, headers=key)
    assert (response.status_code, response.json()) == (200, {"facility_id": "fac-100", "domain_events": 6})
    assert response.headers["location"] == "/api/facilities/fac-100"
    ((command, context, _),) = edge.commands.given
    assert isinstance(command, RegisterFacility)
    assert (command.entry.facility_id, command.entry.zones[0].curtailable_kw) == ("fac-100", 40)
    assert context.actor.startswith("operator:")


def test_every_invalid_reference_of_an_entry_is_reported_by_field() -> None:
    edge = ordering()
    wrong = ENTRY | {
        "programs": ["winter-peak"],
        "tz": "Mars/Base",
        "bms": {"address": "ftp://x"},
        "meters": [{"meter_id": "main"}] * 2,
    }
    key = edge.key("operator")
    with edge.client() as client:
        document = problem_of(client.post("/api/facilities", json=wrong, headers=key))
    assert document["status"] == 400
    assert [reason["field"] for reason in document["reasons"]] == ["meters", "programs", "tz", "bms.address"]
    assert edge.commands.given == []


@pytest.mark.parametrize(
    "change", [{"zones": 1}, {"unknown": True}, {"facility_id": "FAC 1"}, {"facility_id": "fac-100\n"}]
)
def test_an_entry_that_does_not_match_the_schema_is_refused(change: dict[str, Any]) -> None:
    edge = ordering()
    key = edge.key("operator")
    with edge.client() as client:
        assert problem_of(client.post("/api/facilities", json=ENTRY | change, headers=key))["status"] == 400
    assert edge.commands.given == []


def test_the_health_of_a_facility_says_why_it_has_no_weather() -> None:
    walk = PortfolioWalk()
    walk.happy()
    alerts = FakeAlertRegistry()
    edge = Edge(alerts=alerts)
    edge.read_models = FakeReadModels(walk.entries)  # type: ignore[assignment]
    key = edge.key("dashboard", facility="fac-001")
    for subject in ("cell-1", "elsewhere", "weather service"):
        begin_alert(alerts, "weather_unavailable", subject, f"why {subject}", at=NOW)
    begin_alert(alerts, "forecast_drift", "cell-1", "not about a cell", at=NOW)
    with edge.client() as client:
        document = client.get("/api/facilities/fac-001/health", headers=key).json()
    assert document["bms"] == "no_trouble_known"
    assert [alert["detail"] for alert in document["alerts"]] == ["why cell-1", "why weather service"]


@pytest.mark.parametrize(
    ("alert", "subject", "bms"),
    [
        ("bms_breaker_open", "fac-001", "suspended"),
        ("restore_failing", "fac-001/z1", "failing"),
        ("bms_drift", "fac-001", "drifting"),
        ("bms_drift", "fac-0011", "no_trouble_known"),
        ("forecast_drift", "fac-001", "no_trouble_known"),
    ],
)
def test_the_health_of_a_facility_shows_its_bms_and_its_open_alerts(
    alert: str, subject: str, bms: str
) -> None:
    walk = PortfolioWalk()
    served = walk.happy()
    alerts = FakeAlertRegistry()
    begin_alert(alerts, alert, subject, "x", at=NOW)
    edge = Edge(alerts=alerts)
    edge.read_models = FakeReadModels(walk.entries)  # type: ignore[assignment]
    key = edge.key("dashboard", facility="fac-001")
    with edge.client() as client:
        document = client.get("/api/facilities/fac-001/health", headers=key).json()
        assert client.get("/api/facilities/fac-002/health", headers=key).status_code == 404
    assert document["bms"] == bms
    assert len(document["alerts"]) == (subject.partition("/")[0] == "fac-001")
    assert document["dr_event_id"] == str(served.id)
    assert document["dispatch_status"] == "restored"
    assert all(not zone["curtailed"] for zone in document["zones"])
    assert document["zones"][0]["commands"]["restore"] == "succeeded"

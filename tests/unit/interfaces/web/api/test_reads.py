"""Reads and decisions by operators, over fakes of the ports."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.facility.portfolio_entries import UtilityEntry
from application.operations.dead_letter_replay import NotReplayable
from application.ports.operations.dead_letters import DeadLetter
from application.ports.telemetry.store import CurrentValue
from domain.identifiers import dr_event_id
from interfaces.web.portfolio_sources import PortfolioSources
from projections.dr_event.projection import key_of as dr_event_key
from projections.dr_event.row import DREventRow
from projections.facility import FacilityRow, key_of
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.open_alerts import begin_alert
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of

LETTER = UUID("00000000-0000-0000-0000-00000000000a")


def facility(facility_id: str) -> FacilityRow:
    return FacilityRow(
        facility_id=facility_id,
        tz="UTC",
        latitude=0.0,
        longitude=0.0,
        weather_cell="default",
        status="active",
        registered_at=NOW,
        changed_at=NOW,
    )


class Meters:
    def __init__(self, *values: CurrentValue) -> None:
        self._values = {value.facility_id: value for value in values}

    def current(self, facility_ids: list[str]) -> list[CurrentValue]:
        return [self._values[found] for found in facility_ids if found in self._values]


def measured(kw: float | None, at: datetime) -> CurrentValue:
    return CurrentValue(facility_id="fac-001", kw=kw, measured_at=at, meters=())


@pytest.mark.parametrize(
    ("value", "kw", "age_s", "stale"),
    [
        (measured(118.2, NOW - timedelta(seconds=15)), 118.2, 15.0, False),
        (measured(118.2, NOW - timedelta(seconds=121)), 118.2, 121.0, True),
        (measured(None, NOW), None, 0.0, True),
    ],
)
def test_a_current_value_states_its_age(value: CurrentValue, kw: float, age_s: float, stale: bool) -> None:
    edge = Edge(others={"telemetry": Meters(value)})
    edge.read_models.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    key = edge.key("dashboard")
    with edge.client() as client:
        document = client.get("/api/facilities/fac-001/current", headers=key).json()
    assert (document["kw"], document["age_s"], document["stale"]) == (kw, age_s, stale)
    assert document["source"] == "store"
    assert datetime.fromisoformat(document["measured_at"]) == value.measured_at


def test_a_key_of_one_facility_sees_only_that_facility() -> None:
    edge = Edge()
    edge.read_models.facilities.rows = {key_of(name): facility(name) for name in ("fac-001", "fac-002")}
    key = edge.key("dashboard", facility="fac-001")
    with edge.client() as client:
        listed = client.get("/api/facilities", headers=key).json()
        assert [item["facility_id"] for item in listed["items"]] == ["fac-001"]
        assert client.get("/api/facilities/fac-001", headers=key).status_code == 200
        assert client.get("/api/facilities/fac-002", headers=key).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-07-14T00:00:00Z&to=2026-07-14T00:00:00Z",
        "from=2026-07-14T00:00:00&to=2026-07-15T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-07-15T00:00:00Z",
        "from=2026-07-14T00:00:00Z",
        "from=2026-07-14T00:00:00Z&to=2026-07-15T00:00:00Z&resolution=1y",
        "from=0001-01-01T00:00:00%2B05:00&to=0001-01-01T01:00:00%2B05:00",
        "from=9999-12-31T22:00:00-05:00&to=9999-12-31T23:00:00-05:00",
    ],
)
def test_a_history_with_an_invalid_window_is_refused(query: str) -> None:
    edge = Edge()
    edge.read_models.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    key = edge.key("dashboard")
    with edge.client() as client:
        assert (
            problem_of(client.get(f"/api/facilities/fac-001/history?{query}", headers=key))["status"] == 400
        )


def letters() -> FakeDeadLetters:
    fake = FakeDeadLetters()
    fake.park(
        DeadLetter(
            dead_letter_id=LETTER,
            queue="callback",
            subject="cb-1",
            reason="HTTP 500",
            body=b'{"kind": "started"}\xff',
            parked_at=NOW,
        )
    )
    return fake


def test_a_dead_letter_is_listed_without_its_body_and_shown_with_it() -> None:
    edge = Edge(others={"dead_letters": letters()})
    key = edge.key("operator")
    with edge.client() as client:
        (item,) = client.get("/api/dead-letters", headers=key).json()["items"]
        assert (item["dead_letter_id"], item["body"]) == (str(LETTER), None)
        one = client.get(f"/api/dead-letters/{LETTER}", headers=key).json()
        assert one["body"].startswith('{"kind": "started"}')
        assert (
            client.get("/api/dead-letters/00000000-0000-0000-0000-00000000000b", headers=key).status_code
            == 404
        )


def test_discarding_needs_a_reason_and_is_recorded_with_actor_and_time() -> None:
    edge = Edge(others={"dead_letters": letters()})
    key = edge.key("operator")
    url = f"/api/dead-letters/{LETTER}/discard"
    with edge.client() as client:
        assert problem_of(client.post(url, json={"reason": "  "}, headers=key))["status"] == 400
        document = client.post(url, json={"reason": "told by phone"}, headers=key).json()
        assert document["status"] == "discarded"
        assert document["decision_reason"] == "told by phone"
        assert document["decided_by"].startswith("operator:")
        again = problem_of(client.post(url, json={"reason": "again"}, headers=key))
    assert (again["status"], again["type"]) == (409, "/problems/not-allowed-now")


class Replays:
    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[UUID, str, str]] = []
        self._error = error

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str) -> Any:
        if self._error:
            raise self._error
        self.asked.append((dead_letter_id, by, reason))
        return replace_status(letters().get(dead_letter_id))


def replace_status(letter: DeadLetter) -> DeadLetter:
    return DeadLetter(
        **{name: getattr(letter, name) for name in letter.__struct_fields__} | {"status": "replayed"}
    )


def test_a_replay_is_requested_with_the_operator_as_actor() -> None:
    replays = Replays()
    edge = Edge(others={"dead_letters": letters(), "dead_letter_replay": replays})
    key = edge.key("operator")
    with edge.client() as client:
        response = client.post(f"/api/dead-letters/{LETTER}/replay", json={"reason": "mended"}, headers=key)
    assert (response.status_code, response.json()["status"]) == (200, "replayed")
    ((asked, by, reason),) = replays.asked
    assert (asked, by.partition(":")[0], reason) == (LETTER, "operator", "mended")


def test_a_letter_that_cannot_be_replayed_gives_409_with_the_reason() -> None:
    edge = Edge(others={"dead_letter_replay": Replays(NotReplayable("it is still malformed; discard it"))})
    key = edge.key("operator")
    with edge.client() as client:
        response = client.post(f"/api/dead-letters/{LETTER}/replay", json={"reason": "x"}, headers=key)
    document = problem_of(response)
    assert (document["status"], document["detail"]) == (409, "it is still malformed; discard it")


def test_alerts_are_listed() -> None:
    alerts = FakeAlertRegistry()
    begin_alert(alerts, "bms_drift", "fac-001", "zone-1 is not curtailed", at=NOW)
    edge = Edge(others={"alerts": alerts})
    key = edge.key("dashboard")
    with edge.client() as client:
        (item,) = client.get("/api/alerts", headers=key).json()["items"]
    assert (item["name"], item["subject"], item["severity"]) == ("bms_drift", "fac-001", "warning")


def test_a_dr_event_is_listed_by_the_id_of_its_utility() -> None:
    """An operator has that one in hand, and a path takes ours. A utility finds its own only."""
    utilities = [UtilityEntry(utility_id=one, name=one) for one in ("util-1", "util-2", "util-3")]
    sources = PortfolioSources(utilities=lambda *, after="", limit=None: utilities)
    edge = Edge(others={"portfolio": sources})
    rows = [
        DREventRow(
            dr_event_id=dr_event_id(utility, number),
            utility_id=utility,
            utility_event_id=number,
            status="accepted",
            opened_at=NOW,
            changed_at=NOW,
            correlation_id=LETTER,
            trace_id="0" * 32,
            domain_events=1,
        )
        for utility, number in (("util-1", "UTIL-7"), ("util-2", "UTIL-7"), ("util-1", "UTIL-8"))
    ]
    edge.read_models.dr_events.rows = {dr_event_key(row.dr_event_id): row for row in rows}
    operator, utility = edge.key("operator"), edge.key("utility", utility="util-2")

    def ids_of(key: Any, query: str) -> list[str]:
        items = client.get(f"/api/dr-events?{query}", headers=key).json()["items"]
        return [one["dr_event_id"] for one in items]

    with edge.client() as client:
        assert ids_of(operator, "utility_event_id=UTIL-7") == [str(row.dr_event_id) for row in rows[:2]]
        assert ids_of(utility, "utility_event_id=UTIL-7") == [str(rows[1].dr_event_id)]
        assert ids_of(utility, "utility_event_id=UTIL-8") == []
        assert ids_of(operator, "utility_event_id=UTIL-7&status=accepted") != []
        assert ids_of(operator, "utility_event_id=UTIL-7&status=completed") == []

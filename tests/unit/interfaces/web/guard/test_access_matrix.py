"""Every route by every caller: each role, another tenant, a key of one facility, no key, a revoked key.

The routes are those of the application, so a new route is included. The expected access is read from the policy of the
route. The visible data is compared with the log behind the edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import msgspec
import pytest

from application.access.api_keys import revoke
from application.facility.portfolio_entries import UtilityEntry
from application.ledger.proof import NotProvable
from application.ports.access.api_keys import Role
from application.ports.access.meter_logins import DrawnPassword
from application.settlement.document import canonical_bytes
from application.telemetry.reading_gaps import GapSources
from domain.dr_event import DREvent
from interfaces.upload_spool import UploadSpool
from interfaces.web.host_sources import HostSources
from interfaces.web.portfolio_sources import PortfolioSources
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.operations.host_tasks import FakeHostTasks
from tests.fakes.read_models import FakeReadModels
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.fakes.stream_log import FakeStreamLog
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.meter_readings import FakeMeterReadings
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.given_when_then import given
from tests.portfolio_target import portfolio_target
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk
from tests.settlement_cases import ended_event, facility, steps_of
from tests.settlement_documents import document_of
from tests.unit.interfaces.web.api.test_facility_registration import ENTRY
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import NOW, Edge, accepting, notification, problem_of

ROLES: tuple[Role, ...] = get_args(Role)
LETTER = "00000000-0000-0000-0000-000000000001"
BODIES: dict[str, Any] = {
    "POST /webhooks/utility/dr-notification": notification(),
    "PATCH /webhooks/utility/dr-notification/{utility_event_id}": notification(modification_number=1),
    "DELETE /webhooks/utility/dr-notification/{utility_event_id}": None,
    "POST /api/dr-events/{dr_event_id}/cancellation": {"reason": "x"},
    "POST /api/dr-events/{dr_event_id}/overrides": {"facility_id": "fac-001", "reason": "x"},
    "POST /api/dr-events/{dr_event_id}/settlement": {"reason": "x"},
    "POST /api/dr-events/{dr_event_id}/restored-by-hand": {"facility_id": "fac-001", "reason": "x"},
    "POST /api/dr-events/{dr_event_id}/what-if": {"without": ["fac-001"]},
    "POST /api/facilities": ENTRY,
    "POST /api/programs": {"program_id": "summer-peak", "utility_id": "city-power"},
    "POST /api/facilities/{facility_id}/maintenance": {"action": "end"},
    "POST /api/facilities/{facility_id}/deactivation": {"reason": "x"},
    "POST /api/facilities/{facility_id}/reactivation": {"reason": "x"},
    "POST /api/facilities/{facility_id}/opt-out": {"reason": "x"},
    "POST /api/facilities/{facility_id}/opt-in": {"reason": "x"},
    "POST /api/alerts/{alert_id}/acknowledgement": {},
    "POST /api/alerts/{alert_id}/clear": {"reason": "x"},
    "POST /api/dead-letters/{dead_letter_id}/discard": {"reason": "x"},
    "POST /api/dead-letters/{dead_letter_id}/replay": {"reason": "x"},
    "POST /api/portfolio/imports": {"file": "utilities: []", "dry_run": True},
    "POST /api/portfolio/imports/progress": {"file": "utilities: []", "dry_run": True},
    "POST /api/meter-logins": {"facility_id": "fac-001"},
    "DELETE /api/meter-logins/{facility_id}": None,
    "POST /api/history/uploads": None,
    "POST /api/history/imports": {"task_id": LETTER},
    "POST /api/history/imports/{import_id}/take-back": {"reason": "x"},
    "POST /api/keys": {"role": "auditor"},
    "POST /api/keys/{key_id}/rotation": {},
    "DELETE /api/keys/{key_id}": None,
    "POST /api/session": None,
    "DELETE /api/session": None,
}
QUERIES = {
    "GET /api/facilities/{facility_id}/history": "?from=2026-07-14T11:00:00Z&to=2026-07-14T12:00:00Z",
    "POST /api/history/uploads": "?name=load.csv",
    "GET /api/audit/administration": "?program=summer-peak",  # a utility names one of its programs
    # An admitted caller gets an error for this invalid id instead of an endless stream.
    "GET /api/stream": "?dr_event_id=everything",
}
OF_ONE_DR_EVENT = sorted(route for route in POLICIES if route.startswith("GET /api/dr-events/{dr_event_id}"))
OF_ONE_FACILITY = sorted(route for route in POLICIES if route.startswith("GET /api/facilities/{facility_id}"))
CLOSED = sorted(route for route, policy in POLICIES.items() if policy.roles is not None)
PUBLIC = sorted(route for route, policy in POLICIES.items() if policy.roles is None)


def not_sealed(*_: Any) -> Any:
    raise NotProvable("nothing is sealed yet")


def _settlement_of(dr_event: DREvent, settlements: FakeSettlementDocuments) -> str:
    """The digest of a document about fac-001 and fac-002."""
    rule = {"energy": {"rate": "1.50"}}
    loads = {name: steps_of("400") for name in ("fac-001", "fac-002")}
    document = document_of(rule, ended_event(*map(facility, loads), hours=1), loads)
    written = canonical_bytes(msgspec.structs.replace(document, dr_event_id=str(dr_event.id)))
    return settlements.add(dr_event.id, written, revision=0)


class House:
    """An edge over a log with a completed DR event of one utility, and a key of every kind."""

    def __init__(self) -> None:
        self.walk = PortfolioWalk()
        self.dr_event = self.walk.happy()
        store, settlements = FakeTelemetryStore(), FakeSettlementDocuments()
        self.walk.settle(self.dr_event, digest=_settlement_of(self.dr_event, settlements))
        edge = self.edge = Edge()
        edge.others = {
            "stream_log": FakeStreamLog(self.walk.entries),
            "dead_letters": FakeDeadLetters(),
            "telemetry": store,
            "rollups": FakeTelemetryRollups(store, edge.clock),
            "meter_powers": FakeMeterPowers(store),
            "gap_sources": GapSources(FakeMeterReadings(store), edge.clock, timedelta(days=90)),
            "past_forecasts": FakePastForecasts(),
            "forecast_scores": FakeForecastScores(),
            "settlements": settlements,
            "ledger": SimpleNamespace(status=not_sealed, proof=not_sealed, consistency=not_sealed),
            "known_programs": dict.fromkeys,
            "portfolio": PortfolioSources(
                utilities=lambda *, after="", limit=None: (UtilityEntry(utility_id="city-power"),),
                target=portfolio_target(given()),
            ),
            "host": HostSources(
                tasks=FakeHostTasks(),
                imports=FakeImportedHistory(store, FakeTelemetryRollups(store, edge.clock)),
                spool=UploadSpool(Path("/nowhere")),  # no host runs, so nothing is uploaded
                draw_password=lambda: DrawnPassword("drawn", "hash"),
            ),
            "failed_authentications_per_min": 1_000_000,  # all of them come from one address
        }
        edge.read_models = FakeReadModels(self.walk.entries)  # type: ignore[assignment]
        edge.commands.answer = self._answer
        self.own = edge.key("utility", utility=UTILITY)
        self.foreign = edge.key("utility", utility="somebody-else")
        self.keys: dict[str, dict[str, str]] = {
            role: self.own if role == "utility" else edge.key(role) for role in ROLES if role != "owner"
        }
        self.keys["owner"] = edge.key("owner", facility="fac-001")
        self.of_facility = edge.key("dashboard", facility="fac-001")
        self.revoked = self._revoked()

    def _revoked(self) -> dict[str, str]:
        known = {key.key_id for key in self.edge.api_keys.listed()}
        header = self.edge.key("admin")
        (new,) = {key.key_id for key in self.edge.api_keys.listed()} - known
        revoke(self.edge.api_keys, new, at=NOW)
        return header

    @staticmethod
    def _answer(command: Any) -> Any:
        try:
            return accepting(command)
        except AssertionError:
            return None

    def ask(
        self, client: Any, route: str, key: dict[str, str], *, facility: str = "fac-001"
    ) -> httpx.Response:
        method, _, template = route.partition(" ")
        path = template.format(
            dr_event_id=self.dr_event.id,
            dead_letter_id=LETTER,
            alert_id=1,
            facility_id=facility,
            utility_event_id="UTIL-1",
            name="index.html" if "/static/" in template else "forbidden",
            path="openapi.json",
            alert="bms_drift",
            program_id="summer-peak",
            key_id="000000000000",
            task_id=LETTER,
            import_id=LETTER,
            period="2026-07",
        )
        url = path + QUERIES.get(route, "")
        response: httpx.Response = client.request(method, url, headers=key, json=BODIES.get(route))
        return response


@pytest.fixture(scope="module")
def house() -> House:
    return House()


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[Any]:
    with house.edge.client() as opened:
        yield opened


def test_the_matrix_has_a_body_for_each_route_that_changes_state() -> None:
    """If this fails, add a body for the new route to BODIES."""
    assert set(BODIES) == {route for route in CLOSED if not route.startswith("GET ")}


@pytest.mark.parametrize("route", CLOSED)
@pytest.mark.parametrize("who", ["nobody", "revoked", "made up"])
def test_a_caller_without_a_valid_key_is_refused(house: House, client: Any, route: str, who: str) -> None:
    made_up = {"Authorization": "Bearer gpk_00000000000a_" + "A" * 43}
    key = {"nobody": {}, "revoked": house.revoked, "made up": made_up}[who]
    assert problem_of(house.ask(client, route, key))["status"] == 401


@pytest.mark.parametrize("route", CLOSED)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_admitted_exactly_where_the_policy_allows_it(
    house: House, client: Any, route: str, role: Role
) -> None:
    before = len(house.edge.commands.given)
    response = house.ask(client, route, house.keys[role])
    if role not in (POLICIES[route].roles or ()):
        assert problem_of(response)["status"] == 403
        assert len(house.edge.commands.given) == before, "no command was given"
    else:
        assert response.status_code not in (401, 403), response.text


@pytest.mark.parametrize("route", OF_ONE_DR_EVENT)
def test_a_dr_event_is_visible_to_its_utility_and_404_for_another(
    house: House, client: Any, route: str
) -> None:
    assert house.ask(client, route, house.own).status_code == 200
    assert problem_of(house.ask(client, route, house.foreign))["status"] == 404


def test_a_list_has_no_rows_of_another_tenant(house: House, client: Any) -> None:
    assert house.ask(client, "GET /api/dr-events", house.own).json()["items"]
    assert house.ask(client, "GET /api/dr-events", house.foreign).json()["items"] == []


@pytest.mark.parametrize("route", [route for route in BODIES if "/webhooks/" in route])
def test_a_command_of_a_utility_has_that_utility_as_tenant(house: House, client: Any, route: str) -> None:
    house.edge.commands.given.clear()
    house.ask(client, route, house.foreign)
    assert {command.utility_id for command, _, _ in house.edge.commands.given} == {"somebody-else"}
    assert {context.tenant for _, context, _ in house.edge.commands.given} == {"somebody-else"}


@pytest.mark.parametrize("route", CLOSED)
def test_a_key_of_one_facility_reads_only_that_facility(house: House, client: Any, route: str) -> None:
    own = house.ask(client, route, house.of_facility)
    if not POLICIES[route].one_facility or "dashboard" not in (POLICIES[route].roles or ()):
        assert problem_of(own)["status"] == 403
        return
    assert own.status_code not in (401, 403), own.text
    if "{facility_id}" in route:
        assert problem_of(house.ask(client, route, house.of_facility, facility="fac-002"))["status"] == 404
    elif route == "GET /api/stream":
        assert problem_of(own)["status"] == 400
    elif "/settlement" in route:
        assert (own.status_code, "fac-002" in own.text) == (200, False)
    elif "session" in route:
        assert not own.content or own.json()["facility_id"] == "fac-001"
    else:
        assert [item["facility_id"] for item in own.json()["items"]] == ["fac-001"]


@pytest.mark.parametrize("route", OF_ONE_FACILITY)
def test_an_owner_reads_everything_of_its_own_facility_and_nothing_of_another(
    house: House, client: Any, route: str
) -> None:
    own = house.ask(client, route, house.keys["owner"])
    assert own.status_code not in (401, 403), own.text
    assert problem_of(house.ask(client, route, house.keys["owner"], facility="fac-002"))["status"] == 404


@pytest.mark.parametrize("route", [route for route in BODIES if "/opt-" in route])
def test_an_owner_opts_out_and_in_its_own_facility_only(house: House, client: Any, route: str) -> None:
    house.edge.commands.given.clear()
    house.ask(client, route, house.keys["owner"])
    ((command, context, _),) = house.edge.commands.given
    assert (command.facility_id, command.by_owner) == ("fac-001", True)
    assert context.actor.startswith("owner:")
    assert problem_of(house.ask(client, route, house.keys["owner"], facility="fac-002"))["status"] == 404
    assert len(house.edge.commands.given) == 1
    house.ask(client, route, house.keys["operator"])
    assert not house.edge.commands.given[-1][0].by_owner


@pytest.mark.parametrize("route", PUBLIC)
def test_a_public_route_needs_no_key_and_reveals_no_tenant(house: House, client: Any, route: str) -> None:
    response = house.ask(client, route, {})
    assert response.status_code == 200
    assert str(house.dr_event.id) not in response.text
    assert UTILITY not in response.text

"""What the audit shows to a key of one facility, and to whom it is closed. Of a utility: test_tenant_isolation.py."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from application.access.api_keys import issue
from application.commands.facility import OptOutFacility, StartMaintenance
from domain.administration import AdministrativeAct
from projections.audit.stream_log import StreamEntry
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.stream_log import FakeStreamLog
from tests.given_when_then import given
from tests.sample_values import NOW, PROGRAM, facility_entry, portfolio_commands, provenance
from tests.unit.interfaces.web.edge import Edge

MINE, ANOTHER = "home-1", "plant-7"
AUDIT = ("/api/audit/administration?limit=1000", f"/api/audit/facilities/{MINE}")


def edge_of_two_facilities() -> Edge:
    """Both facilities are changed, an import names both, and a key was issued for each."""
    scenario = given().after(
        *portfolio_commands(facility_entry(MINE), facility_entry(ANOTHER)),
        OptOutFacility(facility_id=MINE, reason="a birthday", by_owner=True),
        StartMaintenance(facility_id=ANOTHER, reason="a broken pump"),
    )
    keys = FakeApiKeys()
    for number, facility_id in enumerate((MINE, ANOTHER)):
        issue(keys, role="owner", facility_id=facility_id, at=NOW, entropy=bytes(32) + bytes([number]) * 6)
    both = AdministrativeAct.begin_history_import(
        provenance(), file_sha256="0" * 64, facility_ids=[MINE, ANOTHER]
    )
    log = FakeStreamLog()
    recorded = [*scenario.store.domain_events, *keys.acts, *both.collect_events()]
    log.entries = [StreamEntry(position, one) for position, one in enumerate(recorded, 1)]
    return Edge(others={"stream_log": log})


@pytest.mark.parametrize("path", AUDIT)
def test_an_owner_sees_the_changes_of_its_facility_and_learns_of_no_other(path: str) -> None:
    edge = edge_of_two_facilities()
    owner, operator = edge.key("owner", facility=MINE), edge.key("operator")
    with edge.client() as client:
        mine, everything = (client.get(path, headers=key) for key in (owner, operator))
    assert mine.status_code == everything.status_code == 200
    assert "a birthday" in mine.text
    assert "API key 000000000000 issued: owner home-1" in mine.text
    assert ANOTHER in everything.text
    assert ANOTHER not in mine.text


@pytest.mark.parametrize(
    "path", [f"/api/audit/facilities/{ANOTHER}", f"/api/audit/administration?facility={ANOTHER}"]
)
def test_another_facility_is_to_an_owner_as_one_that_nobody_has(path: str) -> None:
    edge = edge_of_two_facilities()
    owner = edge.key("owner", facility=MINE)
    with edge.client() as client:
        theirs = client.get(path, headers=owner)
        nobodys = client.get(path.replace(ANOTHER, "nobody"), headers=owner)
    assert theirs.status_code == nobodys.status_code == 404
    assert _without_ids(theirs.json()) == _without_ids(nobodys.json())


def _without_ids(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in {"trace_id", "instance"}}


def test_a_utility_names_a_program_and_sees_no_facility() -> None:
    edge = edge_of_two_facilities()
    utility = edge.key("utility", utility="util-1")
    with edge.client() as client:
        answers = {path: client.get(path, headers=utility) for path in AUDIT}
        filtered = client.get(f"/api/audit/administration?program={PROGRAM}&facility={MINE}", headers=utility)
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(AUDIT, 403)
    assert filtered.status_code == 403


@pytest.mark.parametrize("role", ["operator", "auditor", "admin"])
def test_operators_and_auditors_see_everything(role: Any) -> None:
    edge = edge_of_two_facilities()
    key = edge.key(role)
    with edge.client() as client:
        listed = client.get("/api/audit/administration", params={"kind": "maintenance"}, headers=key).json()
        program = client.get(f"/api/audit/programs/{PROGRAM}", headers=key).json()
    assert [(one["what"], one["why"]) for one in listed["items"]] == [
        (f"{ANOTHER} maintenance started", "a broken pump")
    ]
    assert program["program"]["version"] == 1


def test_the_dashboard_sees_none_of_it() -> None:
    edge = edge_of_two_facilities()
    keys = [edge.key("dashboard"), edge.key("dashboard", facility=MINE)]
    with edge.client() as client:
        assert {client.get(path, headers=key).status_code for path in AUDIT for key in keys} == {403}


def test_a_kind_that_there_is_not_is_refused() -> None:
    edge = edge_of_two_facilities()
    with edge.client() as client:
        answer = client.get("/api/audit/administration?kind=gossip", headers=edge.key("auditor"))
    assert answer.status_code == 400
    assert "kind" in msgspec.json.encode(answer.json()).decode()


def test_a_past_state_of_a_facility_is_the_one_of_then() -> None:
    edge = edge_of_two_facilities()
    auditor = edge.key("auditor")
    with edge.client() as client:
        path = f"/api/audit/facilities/{MINE}"
        now = client.get(path, headers=auditor).json()
        out = next(step for step in now["steps"] if step["kind"] == "opt_out")
        before = client.get(path, params={"as_of": str(out["position"] - 1)}, headers=auditor).json()
        ahead = client.get(path, params={"as_of": "9999"}, headers=auditor)
    assert (now["facility"]["opted_out"], before["facility"]["opted_out"]) == (True, False)
    assert [step["position"] for step in before["steps"]] == [
        step["position"] for step in now["steps"] if step["position"] < out["position"]
    ]
    assert ahead.status_code == 404

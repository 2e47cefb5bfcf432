"""A utility reads the load of no facility but those of its accepted DR events (H2)."""

from datetime import timedelta

from tests.sample_values import NOW, PROGRAM, facility_entry, program_entry
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem
from tests.unit.interfaces.web.edge import problem_of

ENTRIES = (
    facility_entry("fac-001"),
    facility_entry("fac-b", programs=(OTHER_PROGRAM,)),
    facility_entry("fac-shared", programs=(PROGRAM, OTHER_PROGRAM)),
)
PROGRAMS = (
    program_entry(rank=2, notification_lead_s=0, minimum_duration_s=60),
    program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER, rank=1),
)


def system() -> TenantSystem:
    there = TenantSystem(entries=ENTRIES, programs=PROGRAMS)
    there.measure("fac-b", 777.5)
    there.measure("fac-shared", 555.5)
    return there


def test_a_rejected_dr_event_shows_no_load_and_no_forecast() -> None:
    with system() as there:
        window = {
            "starts_at": (NOW - timedelta(hours=2)).isoformat(),
            "ends_at": (NOW - timedelta(hours=1)).isoformat(),
        }
        refused = there.post(OWN, event_id="SPY", facility_ids=["fac-b", "fac-shared"], **window)
        dr_event_id = problem_of(refused)["dr_event_id"]
        answer = there.get(OWN, f"/api/dr-events/{dr_event_id}/load")
    assert answer.status_code == 200
    document = answer.json()
    assert (document["facilities"], document["steps"], document["forecast"]) == (0, [], [])
    assert "777.5" not in answer.text


def test_an_operator_sees_no_load_of_a_rejected_dr_event_either() -> None:
    """The document is of the DR event; the load of a facility has a route of its own."""
    with system() as there:
        past = (NOW - timedelta(hours=2)).isoformat()
        refused = there.post(OWN, event_id="SPY", facility_ids=["fac-b"], starts_at=past)
        path = f"/api/dr-events/{problem_of(refused)['dr_event_id']}/load"
        answer = there.client.get(path, headers=there.edge.key("operator"))
    assert answer.json()["steps"] == []


def test_a_facility_that_another_utility_has_taken_is_in_no_sum_any_more() -> None:
    with system() as there:
        accepted = there.post(OWN, facility_ids=["fac-shared"])
        path = f"/api/dr-events/{accepted.json()['dr_event_id']}/load"
        assert there.get(OWN, path).json()["facilities"] == 1
        assert there.post(OTHER, facility_ids=["fac-shared"]).status_code == 202
        assert there.get(OWN, path).json()["facilities"] == 0


def test_the_forecast_of_a_utility_rests_on_no_scores_of_others() -> None:
    """Correlations are measured over the whole portfolio, so a utility's intervals take the assumed ones."""

    class Unread:
        def correlations(self, *_: object) -> list[object]:
            raise AssertionError("the scores of other utilities were read")

    there = system()
    there.edge.others["forecast_scores"] = Unread()
    with there:
        accepted = there.post(OWN, facility_ids=["fac-shared"])
        answer = there.get(OWN, f"/api/dr-events/{accepted.json()['dr_event_id']}/load")
    assert answer.status_code == 200

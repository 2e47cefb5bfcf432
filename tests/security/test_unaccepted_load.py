"""A utility reads the load of no facility but those of its accepted DR events, while they serve it (H2)."""

from datetime import datetime, timedelta

import pytest

from application.commands.dr_event import PlanDREvent, StartDREvent, StartPreparation
from application.commands.facility import OptOutFacility
from domain.identifiers import dr_event_id
from interfaces.web.api.dr_event import load
from tests.in_process_system import PREPARE_AT
from tests.sample_values import ENDS_AT, NOW, PROGRAM, STARTS_AT, facility_entry, program_entry
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


LOAD = f"/api/dr-events/{dr_event_id(OWN, 'U-1')}/load"
MINUTE = timedelta(minutes=1)


def active(there: TenantSystem) -> None:
    """The DR event U-1 on the shared facility, from its notification to the first minute of its window."""
    answer = there.post(OWN, facility_ids=["fac-001", "fac-shared"], target_reduction_kw=60)
    assert answer.status_code == 202
    own = dr_event_id(OWN, "U-1")
    there.settle().do(PlanDREvent(dr_event_id=own))
    there.do(StartPreparation(dr_event_id=own), at=PREPARE_AT)
    there.do(StartDREvent(dr_event_id=own), at=STARTS_AT)


def shown(there: TenantSystem, who: str, *, until: datetime) -> tuple[int, list[datetime]]:
    """The number of facilities, and the first and the last step, with readings of the last hours at `until`."""
    there.clock.moment = until
    there.measure("fac-shared", 444.0, hours=6)
    key = there.keys[OWN] if who == "utility" else there.edge.key("operator")
    document = there.client.get(LOAD, headers=key).json()
    steps = [datetime.fromisoformat(step["starts_at"]) for step in document["steps"]]
    foreseen = [datetime.fromisoformat(step["starts_at"]) for step in document["forecast"]]
    if who == "utility":
        assert all(STARTS_AT <= starts_at < ENDS_AT for starts_at in (*steps, *foreseen))
    return document["facilities"], [steps[0], steps[-1]] if steps else []


def test_a_utility_sees_the_load_of_the_window_only() -> None:
    """Before and after it the facility may serve another utility."""
    with system() as there:
        active(there)
        around = timedelta(minutes=90)
        assert shown(there, "utility", until=STARTS_AT) == (2, [])
        assert shown(there, "utility", until=ENDS_AT + around) == (2, [STARTS_AT, ENDS_AT - MINUTE])
        seen = shown(there, "operator", until=ENDS_AT + around)
        assert seen == (2, [STARTS_AT - around, ENDS_AT + around - MINUTE])


def test_no_step_reaches_beyond_a_window_that_begins_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BY_MINUTES", MINUTE)
    starts_at, ends_at = STARTS_AT + 5 * MINUTE, STARTS_AT + 65 * MINUTE
    with system() as there:
        window = {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
        assert there.post(OWN, facility_ids=["fac-shared"], **window).status_code == 202
        there.clock.moment = ends_at + timedelta(hours=1)
        there.measure("fac-shared", 444.0)
        document = there.get(OWN, LOAD).json()
    assert document["step_s"] == 900
    assert [datetime.fromisoformat(step["starts_at"]) for step in document["steps"]] == [
        STARTS_AT + minutes * MINUTE for minutes in (15, 30, 45)
    ]


def test_a_facility_that_has_opted_out_is_in_no_sum_of_a_utility() -> None:
    """It may serve another one while the window runs."""
    with system() as there:
        active(there)
        there.do(
            OptOutFacility(facility_id="fac-shared", dr_event_id=dr_event_id(OWN, "U-1"), reason="x"),
            at=STARTS_AT + 30 * MINUTE,
        )
        later = STARTS_AT + timedelta(hours=1)
        assert shown(there, "utility", until=later)[0] == 1
        assert shown(there, "operator", until=later)[0] == 2


@pytest.mark.parametrize("planned", [False, True])
def test_a_cancelled_dr_event_shows_a_utility_no_load(*, planned: bool) -> None:
    """Its facilities are free at once, and cancelling costs nothing."""
    with system() as there:
        assert there.post(OWN, facility_ids=["fac-shared"]).status_code == 202
        if planned:
            there.settle().do(PlanDREvent(dr_event_id=dr_event_id(OWN, "U-1")))
        assert there.cancel(OWN, "U-1").status_code == 200
        there.settle()
        assert shown(there, "utility", until=ENDS_AT) == (0, [])


def test_after_a_cancellation_during_the_window_a_utility_sees_no_further_load() -> None:
    with system() as there:
        active(there)
        there.clock.moment = cancelled_at = STARTS_AT + 30 * MINUTE
        assert there.cancel(OWN, "U-1").status_code == 200
        there.settle()
        assert shown(there, "utility", until=ENDS_AT) == (2, [STARTS_AT, cancelled_at - MINUTE])


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

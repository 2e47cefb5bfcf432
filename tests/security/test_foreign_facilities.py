"""What a utility learns of facilities of others, and of DR events of others on a facility that both use (M4)."""

from datetime import timedelta

import pytest

from application.commands.dr_event import PlanDREvent, RequestCallback
from application.commands.facility import StartMaintenance
from domain.dr_event import DREvent
from domain.identifiers import dr_event_id
from tests.sample_values import CONTEXT, ENDS_AT, NOW, PROGRAM, STARTS_AT, facility_entry, program_entry
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem
from tests.unit.interfaces.web.edge import problem_of

SHARED, FOREIGN = "fac-shared", "fac-b"
ENTRIES = (
    facility_entry("fac-001"),
    facility_entry("fac-002", programs=("own-second",)),
    facility_entry(SHARED, programs=(PROGRAM, OTHER_PROGRAM), dr_events_per_day=2),
    facility_entry(FOREIGN, programs=(OTHER_PROGRAM,), longest_dr_event_s=600, notification_lead_s=86_400),
)
PROGRAMS = (
    program_entry(rank=2),
    program_entry(program_id="own-second", rank=2),
    program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER, rank=2),
)
LATER = {
    "starts_at": (STARTS_AT + timedelta(hours=1)).isoformat(),
    "ends_at": (ENDS_AT + timedelta(hours=1)).isoformat(),
}


def system() -> TenantSystem:
    return TenantSystem(entries=ENTRIES, programs=PROGRAMS)


def test_a_facility_of_another_utility_is_unknown_in_every_state() -> None:
    with system() as there:
        assert there.post(OTHER, event_id="THEIRS", facility_ids=[SHARED]).status_code == 202
        there.do(StartMaintenance(facility_id=FOREIGN, reason="boiler"))
        foreign = there.post(OWN, event_id="A", facility_ids=[FOREIGN])
        invented = there.post(OWN, event_id="B", facility_ids=["fac-none"])
    assert there.reasons(foreign) == [("unknown_facility", FOREIGN)]
    assert there.reasons(invented) == [("unknown_facility", "fac-none")]
    assert foreign.text.replace(FOREIGN, "?").count("unknown_facility") == invented.text.count(
        "unknown_facility"
    )


def test_a_facility_in_another_program_of_the_same_utility_is_not_enrolled() -> None:
    with system() as there:
        assert there.reasons(there.post(OWN, facility_ids=["fac-002"])) == [("not_enrolled", "fac-002")]


def test_a_program_of_another_utility_says_nothing_of_its_facilities() -> None:
    """Also in a modification, whose program is judged apart."""
    with system() as there:
        refused = there.post(OWN, event_id="A", program=OTHER_PROGRAM, facility_ids=[FOREIGN])
        assert there.reasons(refused) == [("unknown_program", None)]
        assert there.post(OWN, facility_ids=["fac-001"]).status_code == 202
        answers = [
            there.change(
                OWN, "U-1", modification_number=1, notification_id=f"m-{n}", program=program, facility_ids=ids
            )
            for n, (program, ids) in enumerate(
                [(OTHER_PROGRAM, ["fac-001", FOREIGN]), ("no-such", ["fac-001", FOREIGN])]
            )
        ]
    told = [there.reasons(answer) for answer in answers]
    assert told[0] == told[1] == [("program_changed", None), ("unknown_facility", FOREIGN)]


def test_an_overlap_with_a_dr_event_of_another_utility_is_only_unavailable() -> None:
    with system() as there:
        assert there.post(OTHER, event_id="THEIRS", facility_ids=[SHARED]).status_code == 202
        refused = there.post(OWN, facility_ids=[SHARED], **LATER)
    document = problem_of(refused)
    (reason,) = document["reasons"]
    assert (reason["code"], reason["facility_id"]) == ("unavailable", SHARED)
    assert "2026" not in reason["detail"], "no window"


def test_an_overlap_with_a_dr_event_of_the_same_utility_names_its_window() -> None:
    with system() as there:
        assert there.post(OWN, facility_ids=[SHARED]).status_code == 202
        refused = there.post(OWN, event_id="U-2", notification_id="n-2", facility_ids=[SHARED], **LATER)
    (reason,) = problem_of(refused)["reasons"]
    assert reason["code"] == "overlap"
    assert STARTS_AT.isoformat() in reason["detail"]


@pytest.mark.parametrize(("who", "code"), [(OWN, "daily_limit"), (OTHER, "unavailable")])
def test_limits_used_up_by_others_are_only_unavailable(who: str, code: str) -> None:
    with system() as there:
        for number in range(2):
            window = {
                "starts_at": (NOW + timedelta(hours=1 + 2 * number)).isoformat(),
                "ends_at": (NOW + timedelta(hours=2 + 2 * number)).isoformat(),
            }
            asked = there.post(
                who, event_id=f"E-{number}", notification_id=f"e-{number}", facility_ids=[SHARED], **window
            )
            assert asked.status_code == 202
        refused = there.post(OWN, facility_ids=[SHARED])
    assert there.reasons(refused) == [(code, SHARED)]


def test_the_recorded_reasons_and_the_callback_are_those_of_the_answer() -> None:
    """The log is also what is proven to the utility; the facility's own stream has the reservation of the other."""
    with system() as there:
        assert there.post(OTHER, event_id="THEIRS", facility_ids=[SHARED]).status_code == 202
        refused = there.post(OWN, facility_ids=[SHARED], **LATER)
        there.settle()
    own = dr_event_id(OWN, "U-1")
    recorded = [e for e in there.scenario.store.domain_events if e.originator_id == own]
    (rejected,) = [e for e in recorded if isinstance(e, DREvent.Rejected)]
    assert [reason.code for reason in rejected.reasons] == ["unavailable"]
    (callback,) = [e for e in recorded if isinstance(e, DREvent.CallbackRequested)]
    assert "unavailable" in callback.body
    assert "overlap" not in callback.body
    assert refused.status_code == 422


def test_a_plan_refused_for_a_dr_event_of_another_utility_says_unavailable() -> None:
    stronger = (PROGRAMS[0], PROGRAMS[1], program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER, rank=1))
    with TenantSystem(entries=ENTRIES, programs=stronger) as there:
        assert there.post(OWN, facility_ids=[SHARED]).status_code == 202
        assert there.post(OTHER, event_id="THEIRS", facility_ids=[SHARED]).status_code == 202
        there.handle(PlanDREvent(dr_event_id=dr_event_id(OWN, "U-1")), CONTEXT)
        document = there.get(OWN, f"/api/dr-events/{dr_event_id(OWN, 'U-1')}").json()
        there.handle(RequestCallback(dr_event_id=dr_event_id(OWN, "U-1"), kind="preempted"), CONTEXT)
    assert [reason["code"] for reason in document["reasons"]] == ["unavailable"]
    bodies = [e.body for e in there.scenario.store.domain_events if isinstance(e, DREvent.CallbackRequested)]
    assert all(OTHER not in body and "THEIRS" not in body and "stronger" not in body for body in bodies)

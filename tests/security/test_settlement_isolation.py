"""What a settlement tells a facility's key does not depend on other facilities, nor a utility's on other utilities.

Two systems differ in what the others have; every answer is compared. Not compared: digests and ids of domain events.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from application.commands.dr_event import SettleDREvent
from tests.sample_values import DR_EVENT_ID
from tests.settled_edge import FACILITY_MONTH, PATH, PROGRAM_MONTH, SettledEdge, measured, ran
from tests.settled_system import MEASURE, SETTLE, corrected_to

FORMS = ("application/json", "text/html", "text/csv")
OF_A_FACILITY = (PATH, f"{PATH}?revision=0", f"{PATH}/revisions", FACILITY_MONTH)
OF_A_UTILITY = (*OF_A_FACILITY, PROGRAM_MONTH)
VARYING = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\"trace_id\": *\"[^\"]*\"")


def answers(system: SettledEdge, who: str, paths: tuple[str, ...]) -> dict[tuple[str, str], tuple[int, str]]:
    with system.edge.client() as client:
        found = {(path, form): system.get(client, path, who, Accept=form) for path in paths for form in FORMS}
    return {asked: (one.status_code, VARYING.sub("...", one.text)) for asked, one in found.items()}


def settled_twice(*, others_kw: float, corrected_kw: float) -> SettledEdge:
    system = SettledEdge(measured(ran(), others_kw=others_kw))
    system.do(SETTLE, corrected_to("fac-002", corrected_kw), MEASURE)
    system.do(SettleDREvent(dr_event_id=DR_EVENT_ID, why=f"fac-002 has {corrected_kw} kW"))
    return system


@pytest.mark.parametrize("who", ["owner", "of_facility"])
def test_a_facility_reads_the_same_whatever_the_others_delivered(who: str) -> None:
    one = answers(settled_twice(others_kw=455.5, corrected_kw=477.5), who, OF_A_FACILITY)
    other = answers(settled_twice(others_kw=498.75, corrected_kw=333.25), who, OF_A_FACILITY)
    assert {status for status, _ in one.values()} == {200}
    assert {asked: (one[asked], other[asked]) for asked in one if one[asked] != other[asked]} == {}


def test_a_utility_reads_the_same_whatever_dr_events_others_had_at_its_facility() -> None:
    def system(*days: date) -> SettledEdge:
        made = SettledEdge(measured(ran(), dr_event_days=days))
        made.do(SETTLE)
        return made

    served_others = system(date(2026, 7, 8), date(2026, 7, 9))
    one, other = (answers(found, "utility", OF_A_UTILITY) for found in (system(), served_others))
    assert {asked: (one[asked], other[asked]) for asked in one if one[asked] != other[asked]} == {}
    with served_others.edge.client() as client:
        seen: dict[str, Any] = served_others.get(client, PATH, "operator").json()
    days = [facility["event_days"] for facility in seen["inputs"]["event"]["facilities"]]
    assert days[0] == ["2026-07-08", "2026-07-09"], "otherwise nothing was compared"

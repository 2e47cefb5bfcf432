"""A building counts as left curtailed unless a command restores it before the last check."""

from datetime import timedelta
from uuid import UUID

import pytest

from interfaces.demo.building_actions import building_actions
from interfaces.simulators.bms.journal import Action, JournalEntry
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT

OVER_AT = ENDS_AT + timedelta(minutes=20)
CHECKED_AT = OVER_AT + timedelta(minutes=25)


def entry(action: Action, minutes: int, number: int, *, curtailed: bool) -> JournalEntry:
    return JournalEntry(
        at=STARTS_AT if action == "commit" else OVER_AT + timedelta(minutes=minutes),
        facility_id="fac-001",
        zone_id="hall",
        action=action,
        dr_event_id=DR_EVENT_ID,
        command_id=UUID(int=number),
        shed_kw=0.0,
        shed_change_kw=0.0,
        setpoint=22.0,
        curtailed=curtailed,
    )


@pytest.mark.parametrize(
    ("then", "left"),
    [
        ([], {"fac-001/hall"}),
        ([("restore", -5)], set()),
        ([("restore", 5)], set()),
        ([("expired", 5)], {"fac-001/hall"}),
        ([("restore", 30)], {"fac-001/hall"}),
    ],
)
def test_a_building_is_left_curtailed_unless_a_command_restores_it_before_the_last_check(
    then: list[tuple[Action, int]], left: set[str]
) -> None:
    entries = [entry("commit", 0, 1, curtailed=True)]
    entries += [entry(action, minutes, 2, curtailed=False) for action, minutes in then]
    actions = building_actions(entries, DR_EVENT_ID, at=CHECKED_AT, over_at=OVER_AT)
    assert actions.curtailed_after_end == left

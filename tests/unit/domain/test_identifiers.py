"""Ids are permanent: they name streams, and commands that buildings store. These literals never change."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

from domain import identifiers as ids

DR_EVENT = UUID("11111111-2222-5333-8444-555555555555")
CYCLE = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
PUBLISHED = {
    "facility": "c7614231-9d5b-514b-9b7f-40b75445a2dd",
    "program": "e6d34cd6-5178-5f67-b00d-4c77dd672976",
    "dr_event": "1bab8005-a8b6-53f2-b681-8c76f63c33b1",
    "dispatch": "659bf631-5553-55b5-9f4c-9a3358639005",
    "bms_command": "248b9402-8511-5c01-965e-cbab04c0169d",
    "callback": "94b68287-5b02-5383-aeb2-748cfd2f14c7",
    "forecast_stream": "87bfd0db-77c1-51fb-86b5-286f84d3faa2",
    "forecast": "2745a796-c6a1-5e7d-92ce-a2f780dbc5c1",
    "followed_command": "25b0d6bc-335a-5322-9155-3c71c43c222d",
}


def test_ids_are_the_same_in_every_release() -> None:
    assert {
        "facility": str(ids.facility_stream_id("fac-001")),
        "program": str(ids.program_stream_id("summer-peak")),
        "dr_event": str(ids.dr_event_id("util-1", "UTIL-2026-0042")),
        "dispatch": str(ids.dispatch_id(DR_EVENT, "fac-001")),
        "bms_command": str(
            ids.bms_command_id(DR_EVENT, "fac-001", "hall", "commit", plan_revision=1, round_number=1)
        ),
        "callback": str(ids.callback_id(DR_EVENT, "accepted", 3)),
        "forecast_stream": str(ids.forecast_stream_id("fac-001", CYCLE)),
        "forecast": str(ids.forecast_id("fac-001", CYCLE, "abc")),
        "followed_command": str(ids.followed_command_id(DR_EVENT, 0)),
    } == PUBLISHED


def test_every_distinguishing_field_of_a_command_changes_its_id() -> None:
    """If two commands shared an id, a building would treat the second as a repeat of the first."""
    found = {
        ids.bms_command_id(dr_event, facility, zone, phase, plan_revision=revision, round_number=number)
        for dr_event, facility, zone, phase, revision, number in product(
            (DR_EVENT, UUID(int=2)),
            ("fac-001", "fac-002"),
            ("hall", "roof"),
            ("prepare", "commit", "abort", "restore"),
            (1, 2, 11),
            (1, 2, 12),
        )
    }
    assert len(found) == 2 * 2 * 2 * 4 * 3 * 3


def test_the_same_event_id_of_two_utilities_gives_two_dr_events() -> None:
    assert ids.dr_event_id("util-1", "E") != ids.dr_event_id("util-2", "E")
    assert ids.callback_id(DR_EVENT, "accepted", 1) != ids.callback_id(DR_EVENT, "accepted", 2)

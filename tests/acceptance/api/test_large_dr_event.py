"""A DR event over many facilities is one decision: accepted, modified and cancelled as a whole."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from application.command_bus.decision_context import CommandContext
from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry
from tests.acceptance.api.running_api import Door, day, notification, running_door
from tests.servers import Database

MANY = [f"many-{number:04}" for number in range(600)]


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        context = CommandContext(
            correlation_id=uuid4(), causation_id=uuid4(), actor="test", tenant=None, trace_id="0" * 32
        )
        for facility_id in MANY:
            entry = FacilityEntry(
                facility_id=facility_id,
                meters=(MeterEntry(meter_id="main"),),
                zones=(ZoneEntry(zone_id="hall", curtailable_kw=10.0),),
                bms=BmsEntry(address="http://127.0.0.1:1/"),
                programs=("summer-peak",),
            )
            running.bus.handle(RegisterFacility(entry=entry), context)
        yield running


def test_a_dr_event_of_six_hundred_facilities_is_accepted_modified_and_cancelled(door: Door) -> None:
    body = notification(facility_ids=MANY, target_reduction_kw=6_000, starts_at=day(3))
    answer = door.post(body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["capacity_kw"] == 6_000
    half = body | {
        "facility_ids": MANY[:300],
        "target_reduction_kw": 3_000,
        "modification_number": 1,
        "notification_id": "n-half",
    }
    assert door.change("PATCH", body["event_id"], half).status_code == 202
    rest = notification(facility_ids=MANY[300:], target_reduction_kw=3_000, starts_at=day(3))
    assert door.post(rest).status_code == 202, "the other half is free again"
    assert door.change("DELETE", body["event_id"]).json()["status"] == "cancelled"

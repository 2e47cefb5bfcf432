"""Buildings whose restore fails are reported as restored by hand, over HTTP and from the command line.

The API and the database are those of a running system; relay and BMSs run in this process on a separate clock.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from adapters.postgres.operations.open_work import PostgresOpenWork
from domain.dispatch import DispatchStatus
from domain.dr_event import DREventStatus
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.acceptance.api.running_api import Door, running_door
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.event_store.event_store import FakeEventStore
from tests.given_when_then import Scenario
from tests.in_process_system import FORECAST_CYCLES, InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    UTILITY_EVENT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
)
from tests.servers import Database

BOTH = ("fac-001", "fac-002")
REASON = "the caretaker set every zone back, told by phone"
URL = f"/api/dr-events/{DR_EVENT_ID}/restored-by-hand"
TOPIC = "dispatch.restored-by-hand.v1"


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


def running(door: Door, rows: PostgresOpenWork, until: DREventStatus) -> InProcessSystem:
    entries = tuple(map(facility_entry, BOTH))
    scenario = Scenario(store=cast("FakeEventStore", door.store)).after(*portfolio_commands(*entries))
    for cycle in FORECAST_CYCLES:
        scenario.with_forecasts(*(forecast(facility_id, at=cycle) for facility_id in BOTH))
    scenario.after(judge(facility_ids=BOTH, target_kw=100.0))
    return InProcessSystem(scenario, entries, rows=rows).until(until)


def left_curtailed(door: Door, rows: PostgresOpenWork) -> InProcessSystem:
    """The DR event is over, and both buildings have refused their restore."""
    there = running(door, rows, "active")
    for facility_id in BOTH:
        there.control.fail_next(facility_id, "refuse")
    there.until("completed")
    assert statuses(there) == ["restore_failed", "restore_failed"]
    return there


def statuses(there: InProcessSystem) -> list[DispatchStatus]:
    return [there.dispatch(facility_id).status for facility_id in BOTH]


def is_reserved(door: Door, facility_id: str) -> bool:
    return bool(door.store.load(Facility, facility_stream_id(facility_id)).state.not_restored_from)


def test_a_facility_reported_as_restored_over_http_or_by_command_may_serve_again(
    door: Door, rows: PostgresOpenWork, tmp_path: Path
) -> None:
    there = left_curtailed(door, rows)
    assert [is_reserved(door, facility_id) for facility_id in BOTH] == [True, True]

    body = {"facility_id": "fac-001", "reason": REASON}
    assert door.order(URL, {**body, "reason": " "}).status_code == 400
    assert door.order(URL, {**body, "facility_id": "fac-404"}).status_code == 404
    assert door.order(URL, body).status_code == 202
    assert door.order(URL, body).status_code == 202, "a repeated report changes nothing"
    there.settle()
    assert statuses(there) == ["restored", "restore_failed"]

    terminal = Terminal(door.database, tmp_path)
    ask = ("dr-events", "restored", UTILITY_EVENT, "--facility", "fac-002", "--reason", REASON)
    done = terminal.document(*ask)
    assert done == {"dr_event_id": str(DR_EVENT_ID), "facility_id": "fac-002", "restored_by_hand": True}
    assert terminal.run(*ask).stdout == f"fac-002 counts as restored in {DR_EVENT_ID}\n"
    there.settle()
    assert statuses(there) == ["restored", "restored"]
    assert [is_reserved(door, facility_id) for facility_id in BOTH] == [False, False]

    door.project()
    steps = door.get(f"/api/audit/dr-events/{DR_EVENT_ID}", "auditor").json()["steps"]
    told = [step for step in steps if step["topic"] == TOPIC]
    assert [step["why"] for step in told] == [REASON, REASON], "one step for each report"
    assert told[0]["who"].startswith("operator:")
    assert told[1]["who"].startswith("operator:cli/")
    read = door.get(f"/api/dr-events/{DR_EVENT_ID}/dispatches", "operator").json()["items"]
    shown = terminal.document("dr-events", "show", UTILITY_EVENT)["dispatches"]
    for row in (*read, *shown):
        assert (row["status"], row["restored_by_hand"]) == ("restored", REASON)


def test_a_restore_report_for_a_building_to_which_nothing_was_sent_is_refused(
    door: Door, rows: PostgresOpenWork, tmp_path: Path
) -> None:
    running(door, rows, "preparing")
    refused = door.order(URL, {"facility_id": "fac-001", "reason": REASON})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-allowed-now")
    terminal = Terminal(door.database, tmp_path)
    result = terminal.run("dr-events", "restored", UTILITY_EVENT, "--facility", "fac-001", "--reason", REASON)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "for a building that may be curtailed" in result.stderr

"""Degraded forecasts shortly before a DR event: an alert, blocked dispatches, a better forecast and an override.

The API, the database and the workers watch and decide run as in production; the BMS runs in this process.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.open_work import PostgresOpenWork
from application.commands.program import AgreeProgram
from application.event_store.forecasts import Forecasts
from application.facility.portfolio_entries import ProgramEntry
from domain.dispatch import Dispatch
from domain.forecast import CYCLE, Forecast, cycle_start_of
from domain.identifiers import dispatch_id
from tests.acceptance.api.running_api import Door, notification, running_door, utc_now
from tests.acceptance.cli.terminal import Terminal, until
from tests.given_when_then import Scenario
from tests.in_process_system import InProcessSystem
from tests.sample_values import CONTEXT, facility_entry, forecast, zone_entry
from tests.servers import Database

BOTH = ("fac-001", "fac-002")
REASON = "I know this building: the meter is being exchanged"


class WallClock:
    """The machine's clock. No wait here depends on `speed`, which InProcessSystem sets."""

    speed = 1.0

    def now(self) -> datetime:
        return utc_now()

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


def notify_dr_event_in_one_hour(door: Door) -> str:
    """Request a DR event whose preparation begins at once, on degraded forecasts of the cycle before."""
    entry = ProgramEntry(
        program_id="summer-peak", utility_id="util-1", minimum_duration_s=1_800, prepare_lead_s=4 * 3_600
    )
    door.bus.handle(AgreeProgram(entry=entry), CONTEXT)
    issue(door, *(forecast(i, at=cycle_start_of(utc_now()) - CYCLE, degraded=True) for i in BOTH))
    response = door.post(notification(starts_at=utc_now() + timedelta(hours=1)))
    assert response.status_code == 202, response.text
    assert (response.json()["blocked_facilities"], response.json()["at_risk_facilities"]) == (2, 0)
    return str(response.json()["dr_event_id"])


def issue(door: Door, *issued: Forecast) -> None:
    forecasts = PostgresEventStore(Forecasts, door.database.app_dsn)
    try:
        forecasts.save(issued)
    finally:
        forecasts.close()


def behind(door: Door, rows: PostgresOpenWork) -> InProcessSystem:
    """The saga and the buildings, on the API's store and bus."""
    entries = tuple(facility_entry(i, zones=(zone_entry("zone-1"),)) for i in BOTH)
    scenario = SimpleNamespace(store=door.store, bus=door.bus, clock=WallClock())
    return InProcessSystem(cast("Scenario", scenario), entries, rows=rows)


def statuses(door: Door, dr_event_id: str) -> list[str]:
    streams = [dispatch_id(UUID(dr_event_id), facility_id) for facility_id in BOTH]
    return [door.store.load(Dispatch, stream).state.status for stream in streams]


def alerted(door: Door) -> list[str]:
    items = door.get("/api/alerts", "operator").json()["items"]
    return [alert["subject"] for alert in items if alert["name"] == "degraded_forecast"]


def test_a_degraded_forecast_blocks_a_dispatch_until_a_better_one_comes_or_an_operator_overrides_it(
    door: Door, rows: PostgresOpenWork, tmp_path: Path
) -> None:
    dr_event_id = notify_dr_event_in_one_hour(door)
    there = behind(door, rows).settle()
    assert statuses(door, dr_event_id) == ["blocked", "blocked"]
    door.project()
    shown = Terminal(door.database, tmp_path).run("dr-events", "show", dr_event_id)
    assert "blocked: its forecast is degraded_no_weather" in " ".join(shown.stdout.split())
    parts = door.get(f"/api/dr-events/{dr_event_id}/dispatches", "operator").json()["items"]
    assert {part["what_went_wrong"].partition(" is ")[0] for part in parts} == {"blocked: its forecast"}
    portfolio = door.get("/api/portfolio", "operator").json()
    assert portfolio["readiness"] == {dr_event_id: {"blocked": 2, "at_risk": 0, "dropped_out": 0}}

    issue(door, forecast("fac-002", at=cycle_start_of(utc_now())))
    terminal = Terminal(door.database, tmp_path)
    with terminal.worker("watch"), terminal.worker("decide"):
        until(lambda: "fac-001" in alerted(door))
        until(lambda: statuses(door, dr_event_id) == ["blocked", "preparing"])
        until(lambda: "dr-event.preparation-started.v1" in door.topics(dr_event_id))
    there.settle()
    assert statuses(door, dr_event_id) == ["blocked", "prepared"]

    url = f"/api/dr-events/{dr_event_id}/overrides"
    assert door.order(url, {"facility_id": "fac-001", "reason": " "}).status_code == 400
    assert door.order(url, {"facility_id": "fac-001", "reason": REASON}).status_code == 202
    there.settle()
    assert statuses(door, dr_event_id) == ["prepared", "prepared"]
    assert there.actions() == [("fac-002", "prepare"), ("fac-001", "prepare")]

    again = door.order(url, {"facility_id": "fac-001", "reason": REASON})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/not-allowed-now")

    door.project()
    steps = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["steps"]
    [override] = [step for step in steps if step["topic"] == "dispatch.forecast-overridden.v1"]
    assert override["who"].startswith("operator:")
    assert override["why"] == REASON

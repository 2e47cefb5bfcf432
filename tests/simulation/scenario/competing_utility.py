"""Requests of a second utility for the same buildings, and maintenance. Not in every seed.

Each has its own random generator, so scenarios without it do not change.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

from application.commands.dr_event import CancelNotifiedDREvent, JudgeNotification
from application.commands.facility import EndMaintenance, StartMaintenance
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from domain.dr_event import Notice
from tests.simulation.scenario.scenario_requests import EPOCH, STARTS_AT, ScenarioRequest

COMPETITOR, COMPETING_PROGRAM = "util-2", "grid-relief"


def competing_program(rng: Random) -> ProgramEntry:
    """A program without notification lead. Its rank decides which DR event has priority; the other program has 1."""
    return ProgramEntry(
        program_id=COMPETING_PROGRAM,
        utility_id=COMPETITOR,
        rank=rng.choice((0, 0, 1, 2)),
        baseline_method="meter-before-meter-after",
        notification_lead_s=0,
        prepare_lead_s=60,
        minimum_duration_s=300,
        acceptable_share=0.5,
        shortfall_policy=rng.choice(("continue", "reallocate", "abort")),
        forecast_guardrail="warn",
    )


def competing_requests(rng: Random, facilities: tuple[FacilityEntry, ...]) -> list[ScenarioRequest]:
    """A DR event of some of the same buildings, requested before, during or after the others."""
    starts_at = STARTS_AT + timedelta(minutes=rng.uniform(-5, 35))
    notice = Notice(
        notification_id="R-1-n0",
        modification_number=rng.choice((0, 1)),
        program_id=COMPETING_PROGRAM,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=30),
        target_kw=60.0,
        facility_ids=tuple(e.facility_id for e in facilities if rng.random() < 0.6) or ("fac-001",),
        priority=1,
        callback_url="https://rival.example/callbacks",
    )
    requested_s = (starts_at - EPOCH).total_seconds() - rng.choice((-120.0, 0.0, 5.0, 90.0, 600.0))
    command = JudgeNotification(utility_id=COMPETITOR, utility_event_id="R-1", notice=notice)
    requests = [_of(command, max(0.0, requested_s), key=notice.notification_id)]
    if rng.random() < 0.3:
        at_s = max(0.0, requested_s + rng.uniform(-60, 600))
        number = rng.choice((None, 0, 1))
        cancel = CancelNotifiedDREvent(
            utility_id=COMPETITOR,
            utility_event_id="R-1",
            modification_number=number,
            reason="no longer needed",
        )
        requests.append(_of(cancel, at_s))
    return requests


def maintenance_requests(rng: Random, facilities: tuple[FacilityEntry, ...]) -> list[ScenarioRequest]:
    """Maintenance of one facility, at any time, and its end."""
    facility_id = rng.choice(facilities).facility_id
    at_s = rng.uniform(0, 2_400)
    begin = StartMaintenance(facility_id=facility_id, reason="the chiller is serviced")
    return [
        ScenarioRequest(at_s=at_s, by="operator", command=begin),
        ScenarioRequest(
            at_s=at_s + rng.uniform(60, 900),
            by="operator",
            command=EndMaintenance(facility_id=facility_id),
        ),
    ]


def _of(
    command: JudgeNotification | CancelNotifiedDREvent, at_s: float, key: str | None = None
) -> ScenarioRequest:
    return ScenarioRequest(at_s=at_s, by="utility", utility_id=COMPETITOR, command=command, key=key)

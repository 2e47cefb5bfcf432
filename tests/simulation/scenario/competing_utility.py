"""Who else wants the buildings: a second utility, at its own times, and maintenance. Not in every seed.

Drawn from generators of their own, so that the stories without them stay what they are.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

from application.commands.dr_event import CancelNotifiedDREvent, JudgeNotification
from application.commands.facility import EndMaintenance, StartMaintenance
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from domain.dr_event import Notice
from tests.simulation.scenario.scenario_requests import EPOCH, STARTS_AT, Wish

RIVAL, RIVAL_PROGRAM = "util-2", "grid-relief"


def rival_program(chance: Random) -> ProgramEntry:
    """It takes DR events at once; the rank decides who gives way (the other program has 1)."""
    return ProgramEntry(
        program_id=RIVAL_PROGRAM,
        utility_id=RIVAL,
        rank=chance.choice((0, 0, 1, 2)),
        baseline_method="meter-before-meter-after",
        notification_lead_s=0,
        prepare_lead_s=60,
        minimum_duration_s=300,
        acceptable_share=0.5,
        shortfall_policy=chance.choice(("continue", "reallocate", "abort")),
        forecast_guardrail="warn",
    )


def rival_wishes(chance: Random, facilities: tuple[FacilityEntry, ...]) -> list[Wish]:
    """A DR event over some of the same buildings, asked for before, during or after the others'."""
    starts_at = STARTS_AT + timedelta(minutes=chance.uniform(-5, 35))
    notice = Notice(
        notification_id="R-1-n0",
        modification_number=chance.choice((0, 1)),
        program_id=RIVAL_PROGRAM,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=15),
        target_kw=60.0,
        facility_ids=tuple(e.facility_id for e in facilities if chance.random() < 0.6) or ("fac-001",),
        priority=1,
        callback_url="https://rival.example/callbacks",
    )
    asked_s = (starts_at - EPOCH).total_seconds() - chance.choice((-120.0, 0.0, 5.0, 90.0, 600.0))
    command = JudgeNotification(utility_id=RIVAL, utility_event_id="R-1", notice=notice)
    wishes = [_of(command, max(0.0, asked_s), key=notice.notification_id)]
    if chance.random() < 0.3:
        at_s = max(0.0, asked_s + chance.uniform(-60, 600))
        number = chance.choice((None, 0, 1))
        cancel = CancelNotifiedDREvent(
            utility_id=RIVAL, utility_event_id="R-1", modification_number=number, reason="no longer needed"
        )
        wishes.append(_of(cancel, at_s))
    return wishes


def maintenance_wishes(chance: Random, facilities: tuple[FacilityEntry, ...]) -> list[Wish]:
    """One facility goes into maintenance, at any time, and comes back."""
    facility_id = chance.choice(facilities).facility_id
    at_s = chance.uniform(0, 2_400)
    begin = StartMaintenance(facility_id=facility_id, reason="the chiller is serviced")
    return [
        Wish(at_s=at_s, by="operator", command=begin),
        Wish(
            at_s=at_s + chance.uniform(60, 900),
            by="operator",
            command=EndMaintenance(facility_id=facility_id),
        ),
    ]


def _of(command: JudgeNotification | CancelNotifiedDREvent, at_s: float, key: str | None = None) -> Wish:
    return Wish(at_s=at_s, by="utility", utility_id=RIVAL, command=command, key=key)

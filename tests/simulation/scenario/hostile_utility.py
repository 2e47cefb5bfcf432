"""A utility that floods the system: notifications, reasons, unknown cancellations, and callbacks that it never answers.

It has one facility of its own, and names those of others. Not in every seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from application.commands.dr_event import CancelNotifiedDREvent, JudgeNotification
from application.facility.portfolio_entries import BmsEntry
from domain.dr_event import Notice
from tests.simulation.doubles.forecasts import ForecastFault
from tests.simulation.scenario.competing_utility import competing_program
from tests.simulation.scenario.scenario_requests import ScenarioRequest

if TYPE_CHECKING:
    from tests.simulation.scenario.plan import StormPlan

HOSTILE, HOSTILE_PROGRAM, HOSTILE_FACILITY = "util-hostile", "flood", "fac-hostile"
ACCEPTED, REJECTED, UNKNOWN = 10, 12, 5
"""How many notifications of either kind it sends, and cancellations of what nobody knows."""
AHEAD = timedelta(hours=3)
MADE_UP = tuple(f"made-up-{number:02}" for number in range(50))


def with_hostile_utility(rng: Random, plan: StormPlan) -> StormPlan:
    """The plan with the flood; more than half of these are calm otherwise, so that a delay of others shows."""
    if rng.random() >= 0.05:
        return plan
    if rng.random() < 0.6:
        plan = calm(plan)
    own = replace(
        plan.facilities[0],
        facility_id=HOSTILE_FACILITY,
        bms=BmsEntry(address=f"sim://{HOSTILE_FACILITY}", profile="two_phase"),
        programs=(HOSTILE_PROGRAM,),
        dr_events_per_day=100,
    )
    # Without a forecast none of its DR events can be planned: each is tried again and again.
    until = plan.epoch + timedelta(seconds=plan.faults_end_s)
    program = competing_program(rng)
    return replace(
        plan,
        is_flooded=True,
        programs=(
            *plan.programs,
            replace(program, program_id=HOSTILE_PROGRAM, utility_id=HOSTILE, rank=3),
        ),
        facilities=(*plan.facilities, own),
        forecasts={**plan.forecasts, HOSTILE_FACILITY: ForecastFault(quality=None, until=until)},
        bms_faults={**plan.bms_faults, HOSTILE_FACILITY: {}},
        slow_s={**plan.slow_s, HOSTILE_FACILITY: 1.0},
        requests=(*plan.requests, *_flood(rng, plan)),
    )


def calm(plan: StormPlan) -> StormPlan:
    """Without faults of servers, processes and releases. What the BMSs and the utility do stays."""
    kept = ("utility.", "meter.")
    return replace(
        plan,
        is_calm=True,
        rates={name: rate if name.startswith(kept) else 0.0 for name, rate in plan.rates.items()},
        outages=tuple(outage for outage in plan.outages if outage.what == "utility"),
        process_faults=(),
        clocks_ahead=(),
        defects=(),
        oversize=type(plan.oversize)(),
    )


def _flood(rng: Random, plan: StormPlan) -> Iterator[ScenarioRequest]:
    """A burst at the beginning of the other utilities' DR events, and the rest at any time."""
    until_s = plan.faults_end_s
    burst_s = min(rng.uniform(0, 900), 0.5 * until_s)

    def at_s() -> float:
        return burst_s + rng.uniform(0, 5) if rng.random() < 0.6 else rng.uniform(0, 0.7 * until_s)

    for number in range(ACCEPTED):
        name, starts_in = f"H-{number}", AHEAD + number * timedelta(hours=1)
        yield _notification(plan, name, at_s(), starts_in, (HOSTILE_FACILITY,))
        yield _cancellation(name, until_s * rng.uniform(0.8, 1.0))
    others = tuple(entry.facility_id for entry in plan.facilities)
    for number in range(REJECTED):
        yield _notification(plan, f"H-rejected-{number}", at_s(), AHEAD, (*others, *MADE_UP))
    for number in range(UNKNOWN):
        yield _cancellation(f"H-unknown-{number}", at_s())


def _notification(
    plan: StormPlan, name: str, at_s: float, starts_in: timedelta, facility_ids: tuple[str, ...]
) -> ScenarioRequest:
    starts_at = plan.epoch + starts_in
    notice = Notice(
        notification_id=f"{name}-n0",
        modification_number=0,
        program_id=HOSTILE_PROGRAM,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=30),
        target_kw=50.0,
        facility_ids=facility_ids,
        priority=1,
        callback_url="https://hostile.example/callbacks",
    )
    command = JudgeNotification(utility_id=HOSTILE, utility_event_id=name, notice=notice)
    return _request(command, at_s, key=notice.notification_id)


def _cancellation(name: str, at_s: float) -> ScenarioRequest:
    command = CancelNotifiedDREvent(
        utility_id=HOSTILE, utility_event_id=name, modification_number=None, reason="as it likes"
    )
    return _request(command, at_s)


def _request(
    command: JudgeNotification | CancelNotifiedDREvent, at_s: float, key: str | None = None
) -> ScenarioRequest:
    return ScenarioRequest(at_s=at_s, by="utility", utility_id=HOSTILE, command=command, key=key)

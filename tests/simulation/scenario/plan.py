"""The plan of a seed: the buildings, the requests and the faults.

Each seed has a few kinds of faults, some of them frequent (swarm testing). All faults at once would hide what two rare
ones do together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Literal

import msgspec

from application.facility.portfolio_entries import (
    BmsEntry,
    BmsProfile,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
    ZoneEntry,
)
from application.operations.clock_monitor import MEASURE_EVERY_S
from tests.simulation.doubles.bms_network import FAULTS, BmsFault
from tests.simulation.doubles.forecasts import ForecastFault
from tests.simulation.scenario.competing_utility import (
    COMPETING_PROGRAM,
    competing_program,
    competing_requests,
    maintenance_requests,
)
from tests.simulation.scenario.defects import Defect, draw_defects
from tests.simulation.scenario.fault_injection import RATES
from tests.simulation.scenario.few_places import Places, buildings_of, is_crowded, with_few_places
from tests.simulation.scenario.hostile_utility import with_hostile_utility
from tests.simulation.scenario.local_days import (
    draw_epoch,
    moved_forecast_fault,
    moved_request,
    requests_after_transition,
    with_local_day_baseline,
    with_time_zones,
)
from tests.simulation.scenario.oversize import Oversize, draw_oversize
from tests.simulation.scenario.scenario_requests import (
    EPOCH,
    PROGRAM,
    UTILITY,
    ScenarioRequest,
    draw_requests,
    last_end_s,
)

PROFILES: tuple[tuple[BmsProfile, ...], ...] = (
    ("two_phase",),
    ("two_phase",),
    ("two_phase_no_dedup",),
    ("two_phase", "single_phase"),
)
"""The BMS profiles that the buildings of a seed may have."""
WORKERS = (
    "relay-1",
    "relay-2",
    "schedule-1",
    "schedule-2",
    "dispatch-1",
    "dispatch-2",
    "notify-1",
    "notify-2",
    "measure-1",
    "reconcile-1",
    "project-1",
)


FREEZES_S = 75.0
"""Clock seconds for which a process is stopped at a failpoint. It keeps its rows and locks."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    what: Literal["database", "utility"]
    at_s: float
    for_s: float


class ProcessFault(msgspec.Struct, frozen=True, kw_only=True):
    """A process is killed, or stopped for `for_s` seconds."""

    worker: str
    at_s: float
    for_s: float | None = None


class ClockFault(msgspec.Struct, frozen=True, kw_only=True):
    """The clock of a process's machine is ahead of the database's for a while."""

    worker: str
    at_s: float
    until_s: float
    """From here on it is right."""
    ahead_wall_s: float


class StormPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything decided before the simulation starts. Times are clock seconds after the epoch."""

    seed: int
    epoch: datetime
    """When the scenario begins: on the usual day, or on a day of 23 or 25 hours."""
    speed: float
    skew_s: float
    programs: tuple[ProgramEntry, ...]
    facilities: tuple[FacilityEntry, ...]
    requests: tuple[ScenarioRequest, ...]
    forecasts: dict[str, ForecastFault]
    bms_faults: dict[str, dict[BmsFault, float]]
    slow_s: dict[str, float]
    restarts: tuple[tuple[float, str], ...]
    """When a BMS restarts and forgets prepared commands."""
    overrides: tuple[tuple[float, str], ...]
    """When a person overrides a setpoint in a building."""
    rates: dict[str, float]
    outages: tuple[Outage, ...]
    process_faults: tuple[ProcessFault, ...]
    clocks_ahead: tuple[ClockFault, ...]
    defects: tuple[Defect, ...]
    oversize: Oversize
    proposals: int
    """How many deadlines are proposed at a random time, due or not."""
    faults_end_s: float
    """No faults happen after this time."""
    command_sla_s: float = 900.0
    """Clock seconds within which a command must be done."""
    places: Places | None = None
    """Those of a dispatch worker, if they are few; None: those of the product."""
    is_flooded: bool = False
    """Whether a hostile utility floods the system."""
    is_calm: bool = False
    """Without faults of servers, processes and the release."""

    @property
    def has_operator_of_dead_letters(self) -> bool:
        """Whether an operator decides on dead letters. Otherwise they stay open."""
        return bool(self.defects) or self.is_flooded

    @property
    def deduplicates(self) -> bool:
        """Whether every BMS recognises a command that it has executed before."""
        return all(facility.bms.profile == "two_phase" for facility in self.facilities)


def draw_plan(seed: int, facilities: int = 3) -> StormPlan:
    """Draw the plan of a seed; it is the same in every process and Python version."""
    rng, days = Random(f"{seed}:plan"), Random(f"{seed}:days")
    entries, epoch = _facilities(rng, buildings_of(seed, facilities)), draw_epoch(days)
    if epoch != EPOCH:
        entries = with_time_zones(days, entries)
    ids = tuple(entry.facility_id for entry in entries)
    competitor, others = Random(f"{seed}:rival"), Random(f"{seed}:maintenance")
    programs: tuple[ProgramEntry, ...] = (_program(rng),)
    requests = draw_requests(Random(f"{seed}:wishes"), entries)
    if epoch != EPOCH:
        requests += tuple(requests_after_transition(days, entries))
        programs = tuple(with_local_day_baseline(days, program) for program in programs)
    if competitor.random() < 0.3:
        programs += (competing_program(competitor),)
        requests += tuple(competing_requests(competitor, entries))
    if others.random() < 0.2:
        requests += tuple(maintenance_requests(others, entries))
    faults_end_s = last_end_s(requests) + rng.uniform(-300, 480)
    rates = _rates(rng)
    refusals = Random(f"{seed}:refusals")
    rates["utility.refuses"] = refusals.choice((0.05, 0.3, 1.0)) if refusals.random() < 0.1 else 0.0
    freezes = Random(f"{seed}:freezes")
    rates["process.freezes_at_failpoint"] = freezes.choice((0.02, 0.1)) if freezes.random() < 0.15 else 0.0
    if any(entry.bms.profile != "two_phase" for entry in entries):
        # Without deduplication nothing prevents a repeat once two workers both believe that they hold the lock.
        rates["database.drops_locks"] = 0.0
    speed = rng.choice((20.0, 60.0, 60.0))
    plan = StormPlan(
        seed=seed,
        epoch=epoch,
        speed=speed,
        skew_s=rng.choice((0.0, 0.0, 0.5, 2.0)),
        programs=programs,
        facilities=entries,
        requests=tuple(moved_request(request, epoch - EPOCH) for request in requests),
        forecasts={i: moved_forecast_fault(w, epoch - EPOCH) for i, w in _forecasts(rng, ids).items()},
        bms_faults={facility_id: _bms_faults(rng) for facility_id in ids},
        slow_s={facility_id: rng.choice((0.2, 1.0, 5.0)) for facility_id in ids},
        restarts=_moments(rng, ids, faults_end_s, most=2),
        overrides=_moments(rng, ids, faults_end_s, most=1),
        rates=rates,
        outages=_outages(rng, faults_end_s),
        process_faults=_process_faults(rng, faults_end_s),
        defects=draw_defects(Random(f"{seed}:defects"), ids, faults_end_s),
        oversize=draw_oversize(Random(f"{seed}:oversize"), ids),
        clocks_ahead=_clocks_ahead(Random(f"{seed}:clocks"), speed, faults_end_s),
        proposals=rng.choice((0, 0, 5, 20)),
        faults_end_s=faults_end_s,
        command_sla_s=Random(f"{seed}:sla").choice((900.0, 900.0, 900.0, 120.0)),
    )
    plan = with_hostile_utility(Random(f"{seed}:hostile"), plan)
    return with_few_places(plan) if is_crowded(seed) else plan


def _program(rng: Random) -> ProgramEntry:
    return ProgramEntry(
        program_id=PROGRAM,
        utility_id=UTILITY,
        baseline_method="meter-before-meter-after",
        notification_lead_s=60,
        prepare_lead_s=rng.choice((60, 180, 400)),
        minimum_duration_s=300,
        acceptable_share=rng.choice((0.5, 0.8)),
        shortfall_policy=rng.choice(("continue", "reallocate", "abort")),
        forecast_guardrail=rng.choice(("block", "warn")),
    )


def _facilities(rng: Random, number: int) -> tuple[FacilityEntry, ...]:
    profiles = rng.choice(PROFILES)
    return tuple(
        FacilityEntry(
            facility_id=f"fac-{place:03}",
            meters=(MeterEntry(meter_id="main"),),
            zones=tuple(
                ZoneEntry(
                    zone_id=zone,
                    curtailable_kw=100.0,
                    rebound_ramp_s=rng.choice((0, 120)),
                    minimum_off_s=rng.choice((0, 0, 300)),
                )
                for zone in ("hall", "shop")[: rng.choice((1, 1, 2))]
            ),
            bms=BmsEntry(address=f"sim://fac-{place:03}", profile=rng.choice(profiles)),
            programs=(PROGRAM, COMPETING_PROGRAM),
            dr_events_per_day=rng.choice((1, 2, 5)),
        )
        for place in range(1, number + 1)
    )


def _rates(rng: Random) -> dict[str, float]:
    return {
        name: min(0.6, rate * rng.choice((0.3, 1.0, 3.0))) if rng.random() < 0.35 else 0.0
        for name, rate in RATES.items()
    }


def _bms_faults(rng: Random) -> dict[BmsFault, float]:
    if rng.random() < 0.4:
        return {}
    return {fault: rng.choice((0.05, 0.2, 0.6)) if rng.random() < 0.35 else 0.0 for fault in FAULTS}


def _forecasts(rng: Random, ids: tuple[str, ...]) -> dict[str, ForecastFault]:
    faults: dict[str, ForecastFault] = {}
    for facility_id in ids:
        if rng.random() < 0.2:
            faults[facility_id] = ForecastFault(
                quality=rng.choice(("full", "degraded_no_weather", "degraded_stale_data", None)),
                cycles_late=rng.choice((0, 1, 3)),
                until=EPOCH + timedelta(seconds=rng.uniform(0, 2400)),
            )
    return faults


def _moments(
    rng: Random, ids: tuple[str, ...], until_s: float, *, most: int
) -> tuple[tuple[float, str], ...]:
    number = rng.choice((0, 0, *range(1, most + 1)))
    return tuple(sorted((rng.uniform(0, until_s), rng.choice(ids)) for _ in range(number)))


def _outages(rng: Random, until_s: float) -> tuple[Outage, ...]:
    kinds: tuple[Literal["database", "utility"], ...] = ("database", "utility")
    return tuple(
        Outage(what=what, at_s=rng.uniform(0, until_s), for_s=rng.choice((2.0, 20.0, 120.0)))
        for what in kinds
        for _ in range(rng.choice((0, 0, 1, 2)))
    )


def _process_faults(rng: Random, until_s: float) -> tuple[ProcessFault, ...]:
    return tuple(
        ProcessFault(
            worker=rng.choice(WORKERS),
            at_s=rng.uniform(0, until_s),
            for_s=None if rng.random() < 0.6 else rng.choice((1.0, 45.0, 120.0)),
        )
        for _ in range(rng.choice((0, 0, 1, 3, 8)))
    )


def _clocks_ahead(rng: Random, speed: float, until_s: float) -> tuple[ClockFault, ...]:
    """Each is corrected so early that its process has noticed it by the end of the faults."""
    if rng.random() >= 0.12:
        return ()
    latest_s = until_s - MEASURE_EVERY_S * speed
    faults = []
    for worker in rng.sample(("web", *WORKERS), rng.choice((1, 1, 2, 5))):
        at_s = rng.uniform(0, 0.7 * latest_s)
        corrected_s = min(latest_s, at_s + rng.choice((300.0, 900.0, 1_800.0)))
        ahead_wall_s = rng.choice((6.0, 60.0, 3_600.0))
        faults.append(ClockFault(worker=worker, at_s=at_s, until_s=corrected_s, ahead_wall_s=ahead_wall_s))
    return tuple(faults)

"""What a seed stands for: the buildings, what the utility asks and changes, and which mishaps there are.

Each seed has its own few mishaps, some of them strong (swarm testing): a storm of everything at once hides what two
rare mishaps do together.
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
from tests.simulation.doubles.bms_network import FAULTS, BmsFault
from tests.simulation.doubles.forecasts import ForecastWeather
from tests.simulation.scenario.competing_utility import (
    RIVAL_PROGRAM,
    maintenance_wishes,
    rival_program,
    rival_wishes,
)
from tests.simulation.scenario.fault_injection import RATES
from tests.simulation.scenario.local_days import (
    afterwards,
    by_local_days,
    draw_epoch,
    in_zones,
    moved_weather,
    moved_wish,
)
from tests.simulation.scenario.scenario_requests import EPOCH, PROGRAM, UTILITY, Wish, draw_wishes, last_end_s

PROFILES: tuple[tuple[BmsProfile, ...], ...] = (
    ("two_phase",),
    ("two_phase",),
    ("two_phase_no_dedup",),
    ("two_phase", "single_phase"),
)
"""Of the buildings of a seed."""
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
"""How long a process is stopped at a failpoint, clock seconds; after 30 its work is given to another."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    what: Literal["database", "broker", "utility"]
    at_s: float
    for_s: float


class Blow(msgspec.Struct, frozen=True, kw_only=True):
    """A process is killed, or stopped for `for_s`."""

    worker: str
    at_s: float
    for_s: float | None = None


class StormPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided before the first moment. Times are clock seconds after the epoch."""

    seed: int
    epoch: datetime
    """When the story begins; on the usual day, or on one of 23 or 25 hours."""
    speed: float
    skew_s: float
    programs: tuple[ProgramEntry, ...]
    facilities: tuple[FacilityEntry, ...]
    wishes: tuple[Wish, ...]
    forecasts: dict[str, ForecastWeather]
    bms_faults: dict[str, dict[BmsFault, float]]
    slow_s: dict[str, float]
    restarts: tuple[tuple[float, str], ...]
    """When a BMS starts anew and forgets what was only prepared."""
    overrides: tuple[tuple[float, str], ...]
    """When somebody turns the knob in a building."""
    rates: dict[str, float]
    outages: tuple[Outage, ...]
    blows: tuple[Blow, ...]
    proposals: int
    """How often somebody proposes a deadline that is not due, or was proposed before."""
    calm_at_s: float
    """From then on nothing fails any more."""

    @property
    def deduplicates(self) -> bool:
        """Whether every BMS knows a command that it has carried out before."""
        return all(facility.bms.profile == "two_phase" for facility in self.facilities)


def draw_plan(seed: int, facilities: int = 3) -> StormPlan:
    """The plan of a seed: the same in every process and release of Python."""
    chance, days = Random(f"{seed}:plan"), Random(f"{seed}:days")
    entries, epoch = _facilities(chance, facilities), draw_epoch(days)
    if epoch != EPOCH:
        entries = in_zones(days, entries)
    ids = tuple(entry.facility_id for entry in entries)
    rival, others = Random(f"{seed}:rival"), Random(f"{seed}:maintenance")
    programs: tuple[ProgramEntry, ...] = (_program(chance),)
    wishes = draw_wishes(Random(f"{seed}:wishes"), entries)
    if epoch != EPOCH:
        wishes += tuple(afterwards(days, entries))
        programs = tuple(by_local_days(days, program) for program in programs)
    if rival.random() < 0.3:
        programs += (rival_program(rival),)
        wishes += tuple(rival_wishes(rival, entries))
    if others.random() < 0.2:
        wishes += tuple(maintenance_wishes(others, entries))
    calm_at_s = last_end_s(wishes) + chance.uniform(-300, 480)
    rates = _rates(chance)
    refusals = Random(f"{seed}:refusals")
    rates["utility.refuses"] = refusals.choice((0.05, 0.3, 1.0)) if refusals.random() < 0.1 else 0.0
    freezes = Random(f"{seed}:freezes")
    rates["process.freezes_at_failpoint"] = freezes.choice((0.02, 0.1)) if freezes.random() < 0.15 else 0.0
    if any(entry.bms.profile != "two_phase" for entry in entries):
        # A BMS that does repeats again cannot be kept from it once two workers each hold themselves for the only one.
        rates["database.drops_locks"] = 0.0
    return StormPlan(
        seed=seed,
        epoch=epoch,
        speed=chance.choice((20.0, 60.0, 60.0)),
        skew_s=chance.choice((0.0, 0.0, 0.5, 2.0)),
        programs=programs,
        facilities=entries,
        wishes=tuple(moved_wish(wish, epoch - EPOCH) for wish in wishes),
        forecasts={i: moved_weather(w, epoch - EPOCH) for i, w in _forecasts(chance, ids).items()},
        bms_faults={facility_id: _bms_faults(chance) for facility_id in ids},
        slow_s={facility_id: chance.choice((0.2, 1.0, 5.0)) for facility_id in ids},
        restarts=_moments(chance, ids, calm_at_s, most=2),
        overrides=_moments(chance, ids, calm_at_s, most=1),
        rates=rates,
        outages=_outages(chance, calm_at_s),
        blows=_blows(chance, calm_at_s),
        proposals=chance.choice((0, 0, 5, 20)),
        calm_at_s=calm_at_s,
    )


def _program(chance: Random) -> ProgramEntry:
    return ProgramEntry(
        program_id=PROGRAM,
        utility_id=UTILITY,
        baseline_method="meter-before-meter-after",
        notification_lead_s=60,
        prepare_lead_s=chance.choice((60, 180, 400)),
        minimum_duration_s=300,
        acceptable_share=chance.choice((0.5, 0.8)),
        shortfall_policy=chance.choice(("continue", "reallocate", "abort")),
        forecast_guardrail=chance.choice(("block", "warn")),
    )


def _facilities(chance: Random, number: int) -> tuple[FacilityEntry, ...]:
    profiles = chance.choice(PROFILES)
    return tuple(
        FacilityEntry(
            facility_id=f"fac-{place:03}",
            meters=(MeterEntry(meter_id="main"),),
            zones=tuple(
                ZoneEntry(
                    zone_id=zone,
                    curtailable_kw=100.0,
                    rebound_ramp_s=chance.choice((0, 120)),
                    minimum_off_s=chance.choice((0, 0, 300)),
                )
                for zone in ("hall", "shop")[: chance.choice((1, 1, 2))]
            ),
            bms=BmsEntry(address=f"sim://fac-{place:03}", profile=chance.choice(profiles)),
            programs=(PROGRAM, RIVAL_PROGRAM),
            dr_events_per_day=chance.choice((1, 2, 5)),
        )
        for place in range(1, number + 1)
    )


def _rates(chance: Random) -> dict[str, float]:
    return {
        name: min(0.6, rate * chance.choice((0.3, 1.0, 3.0))) if chance.random() < 0.35 else 0.0
        for name, rate in RATES.items()
    }


def _bms_faults(chance: Random) -> dict[BmsFault, float]:
    if chance.random() < 0.4:
        return {}
    return {fault: chance.choice((0.05, 0.2, 0.6)) if chance.random() < 0.35 else 0.0 for fault in FAULTS}


def _forecasts(chance: Random, ids: tuple[str, ...]) -> dict[str, ForecastWeather]:
    weather: dict[str, ForecastWeather] = {}
    for facility_id in ids:
        if chance.random() < 0.2:
            weather[facility_id] = ForecastWeather(
                quality=chance.choice(("full", "degraded_no_weather", "degraded_stale_data", None)),
                cycles_late=chance.choice((0, 1, 3)),
                until=EPOCH + timedelta(seconds=chance.uniform(0, 2400)),
            )
    return weather


def _moments(
    chance: Random, ids: tuple[str, ...], until_s: float, *, most: int
) -> tuple[tuple[float, str], ...]:
    number = chance.choice((0, 0, *range(1, most + 1)))
    return tuple(sorted((chance.uniform(0, until_s), chance.choice(ids)) for _ in range(number)))


def _outages(chance: Random, until_s: float) -> tuple[Outage, ...]:
    kinds: tuple[Literal["database", "broker", "utility"], ...] = ("database", "broker", "utility")
    return tuple(
        Outage(what=what, at_s=chance.uniform(0, until_s), for_s=chance.choice((2.0, 20.0, 120.0)))
        for what in kinds
        for _ in range(chance.choice((0, 0, 1, 2)))
    )


def _blows(chance: Random, until_s: float) -> tuple[Blow, ...]:
    return tuple(
        Blow(
            worker=chance.choice(WORKERS),
            at_s=chance.uniform(0, until_s),
            for_s=None if chance.random() < 0.6 else chance.choice((1.0, 45.0, 120.0)),
        )
        for _ in range(chance.choice((0, 0, 1, 3, 8)))
    )

"""The requests of the utility, the facilities and the operator: also out of order, repeated and too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

import msgspec
from msgspec.structs import replace

from application.commands.dr_event import (
    CancelDREvent,
    CancelNotifiedDREvent,
    JudgeNotification,
    ModifyDREvent,
)
from application.commands.facility import EndMaintenance, OptInFacility, OptOutFacility, StartMaintenance
from application.facility.portfolio_entries import FacilityEntry
from domain.dr_event import Notice
from domain.identifiers import dr_event_id

EPOCH = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
STARTS_AT = EPOCH + timedelta(minutes=15)
QUARTER = timedelta(minutes=15)
UTILITY, PROGRAM = "util-1", "summer-peak"

RequestedCommand = (
    JudgeNotification
    | ModifyDREvent
    | CancelNotifiedDREvent
    | CancelDREvent
    | OptOutFacility
    | OptInFacility
    | StartMaintenance
    | EndMaintenance
)


class ScenarioRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A command sent at `at_s` clock seconds after the epoch, and repeated until there is a response."""

    at_s: float
    by: Literal["utility", "operator", "facility"]
    command: RequestedCommand
    utility_id: str = UTILITY
    """The utility of the DR event, for a request by a utility."""
    key: str | None = None
    """The idempotency key, if the webhook takes one."""


def draw_requests(rng: Random, facilities: tuple[FacilityEntry, ...]) -> tuple[ScenarioRequest, ...]:
    """Requests for one DR event, or for two of the same buildings that overlap or follow each other; sorted by time."""
    requests = _of_dr_event(rng, facilities, "U-1", STARTS_AT)
    if rng.random() < 0.4:
        later = rng.choice((timedelta(), QUARTER, 2 * QUARTER))
        requests += _of_dr_event(rng, facilities, "U-2", STARTS_AT + later)
    until_s = last_end_s(tuple(requests))
    for facility in facilities:
        if rng.random() < 0.15:
            requests += _opting(rng, facility.facility_id, until_s)
    return tuple(sorted(requests, key=lambda request: request.at_s))


def last_end_s(requests: tuple[ScenarioRequest, ...]) -> float:
    """The latest end of a requested window, in clock seconds after the epoch."""
    ends = [
        request.command.notice.ends_at
        for request in requests
        if isinstance(request.command, JudgeNotification | ModifyDREvent)
    ]
    return (max(ends) - EPOCH).total_seconds()


def _of_dr_event(
    rng: Random, facilities: tuple[FacilityEntry, ...], name: str, starts_at: datetime
) -> list[ScenarioRequest]:
    notice, at_s = _notice(rng, facilities, name, starts_at), rng.uniform(5, 700)
    command = JudgeNotification(utility_id=UTILITY, utility_event_id=name, notice=notice)
    requests = [ScenarioRequest(at_s=at_s, by="utility", command=command, key=notice.notification_id)]
    for _ in range(rng.choice((0, 0, 1, 3))):
        requests.append(replace(requests[0], at_s=at_s + rng.choice((0.0, 0.1, 30.0, 600.0))))
    end_s = (notice.ends_at - EPOCH).total_seconds()
    if rng.random() < 0.4:
        requests += _changes(rng, facilities, command, at_s, end_s)
    if rng.random() < 0.3:
        requests += _cancellations(rng, name, at_s, end_s)
    return requests


def _notice(rng: Random, facilities: tuple[FacilityEntry, ...], name: str, starts_at: datetime) -> Notice:
    requested = tuple(entry.facility_id for entry in facilities if rng.random() < 0.85) or ("fac-001",)
    capacity_kw = sum(100.0 * len(entry.zones) for entry in facilities if entry.facility_id in requested)
    return Notice(
        notification_id=f"{name}-n0",
        modification_number=0,
        program_id=PROGRAM,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=rng.choice((20, 20, 30))),
        target_kw=round(capacity_kw * rng.choice((0.3, 0.7, 1.0)), 3),
        facility_ids=requested,
        priority=rng.choice((1, 2)),
        callback_url="https://utility.example/callbacks",
        randomize_start_s=rng.choice((0, 0, 0, 120)),
    )


def _changes(
    rng: Random,
    facilities: tuple[FacilityEntry, ...],
    posted: JudgeNotification,
    at_s: float,
    end_s: float,
) -> list[ScenarioRequest]:
    """Modifications, in any order of their numbers; some are sent twice."""
    requests, notice = [], posted.notice
    for number in range(1, rng.choice((2, 2, 3, 4))):
        notice = _changed(rng, facilities, replace(notice, modification_number=number))
        request = ScenarioRequest(
            at_s=rng.uniform(max(0.0, at_s - 20), end_s + 60),
            by="utility",
            command=ModifyDREvent(
                utility_id=UTILITY, utility_event_id=posted.utility_event_id, notice=notice
            ),
            key=f"{posted.utility_event_id}-n{number}",
        )
        requests.append(request)
        if rng.random() < 0.3:
            requests.append(replace(request, at_s=request.at_s + rng.choice((0.0, 5.0, 90.0))))
    return requests


def _changed(rng: Random, facilities: tuple[FacilityEntry, ...], notice: Notice) -> Notice:
    """Another end, start, target or set of facilities. The window still holds a whole quarter-hour."""
    minutes = timedelta(minutes=rng.choice((-10, -5, 5, 10)))
    match rng.choice(("end", "move", "target", "facilities")):
        case "end":
            return _measurable(replace(notice, ends_at=notice.ends_at + minutes))
        case "move":
            moved = replace(notice, starts_at=notice.starts_at + minutes, ends_at=notice.ends_at + minutes)
            return _measurable(moved)
        case "target":
            return replace(notice, target_kw=round(notice.target_kw * rng.choice((0.5, 1.5)), 3))
    requested = tuple(entry.facility_id for entry in facilities if rng.random() < 0.7) or notice.facility_ids
    return replace(notice, facility_ids=requested)


def _measurable(notice: Notice) -> Notice:
    """The notice, with a later end if its window holds no whole quarter-hour: the door would refuse it."""
    first = notice.starts_at + (EPOCH - notice.starts_at) % QUARTER
    return replace(notice, ends_at=max(notice.ends_at, first + QUARTER))


def _cancellations(rng: Random, name: str, at_s: float, end_s: float) -> list[ScenarioRequest]:
    """A cancellation by the utility, possibly before its notification arrives, or by an operator."""
    cancel_at_s = rng.uniform(max(0.0, at_s - 30), end_s + 120)
    if rng.random() < 0.3:
        stream = dr_event_id(UTILITY, name)
        command = CancelDREvent(dr_event_id=stream, reason="the grid is stable again")
        return [ScenarioRequest(at_s=cancel_at_s, by="operator", command=command)]
    request = ScenarioRequest(
        at_s=cancel_at_s,
        by="utility",
        command=CancelNotifiedDREvent(
            utility_id=UTILITY,
            utility_event_id=name,
            modification_number=rng.choice((None, 0, 3)),
            reason="cancelled by the utility",
        ),
    )
    return [request, replace(request, at_s=cancel_at_s + 1.0)][: rng.choice((1, 2))]


def _opting(rng: Random, facility_id: str, until_s: float) -> list[ScenarioRequest]:
    which = rng.choice((None, dr_event_id(UTILITY, "U-1")))
    out = OptOutFacility(facility_id=facility_id, dr_event_id=which, reason="a wedding in the hall")
    back = OptInFacility(facility_id=facility_id, dr_event_id=which, reason="it was called off")
    at_s = rng.uniform(0, until_s)
    requests = [ScenarioRequest(at_s=at_s, by="facility", command=out)]
    if rng.random() < 0.5:
        requests.append(ScenarioRequest(at_s=at_s + rng.uniform(0, 600), by="facility", command=back))
    return requests

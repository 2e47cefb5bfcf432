"""What the utility, the facilities and the operator ask for, and when: also out of order, twice, and too late."""

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

CommandRequest = (
    JudgeNotification
    | ModifyDREvent
    | CancelNotifiedDREvent
    | CancelDREvent
    | OptOutFacility
    | OptInFacility
    | StartMaintenance
    | EndMaintenance
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Asked at `at_s`, clock seconds after the epoch, until there is an answer."""

    at_s: float
    by: Literal["utility", "operator", "facility"]
    command: CommandRequest
    utility_id: str = UTILITY
    """Whose DR event it is about, where it is by a utility."""
    key: str | None = None
    """The idempotency key, where the door takes one."""


def draw_wishes(chance: Random, facilities: tuple[FacilityEntry, ...]) -> tuple[Wish, ...]:
    """One DR event, or two that want the same buildings or follow upon each other; in the order of time."""
    wishes = _of_dr_event(chance, facilities, "U-1", STARTS_AT)
    if chance.random() < 0.4:
        later = chance.choice((timedelta(), QUARTER, 2 * QUARTER))
        wishes += _of_dr_event(chance, facilities, "U-2", STARTS_AT + later)
    until_s = last_end_s(tuple(wishes))
    for facility in facilities:
        if chance.random() < 0.15:
            wishes += _opting(chance, facility.facility_id, until_s)
    return tuple(sorted(wishes, key=lambda wish: wish.at_s))


def last_end_s(wishes: tuple[Wish, ...]) -> float:
    """The latest end of a window that anybody asks for."""
    ends = [
        wish.command.notice.ends_at
        for wish in wishes
        if isinstance(wish.command, JudgeNotification | ModifyDREvent)
    ]
    return (max(ends) - EPOCH).total_seconds()


def _of_dr_event(
    chance: Random, facilities: tuple[FacilityEntry, ...], name: str, starts_at: datetime
) -> list[Wish]:
    notice, at_s = _notice(chance, facilities, name, starts_at), chance.uniform(5, 700)
    command = JudgeNotification(utility_id=UTILITY, utility_event_id=name, notice=notice)
    wishes = [Wish(at_s=at_s, by="utility", command=command, key=notice.notification_id)]
    for _ in range(chance.choice((0, 0, 1, 3))):
        wishes.append(replace(wishes[0], at_s=at_s + chance.choice((0.0, 0.1, 30.0, 600.0))))
    end_s = (notice.ends_at - EPOCH).total_seconds()
    if chance.random() < 0.4:
        wishes += _changes(chance, facilities, command, at_s, end_s)
    if chance.random() < 0.3:
        wishes += _cancellations(chance, name, at_s, end_s)
    return wishes


def _notice(chance: Random, facilities: tuple[FacilityEntry, ...], name: str, starts_at: datetime) -> Notice:
    asked = tuple(entry.facility_id for entry in facilities if chance.random() < 0.85) or ("fac-001",)
    capacity_kw = sum(100.0 * len(entry.zones) for entry in facilities if entry.facility_id in asked)
    return Notice(
        notification_id=f"{name}-n0",
        modification_number=0,
        program_id=PROGRAM,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=chance.choice((15, 15, 30))),
        target_kw=round(capacity_kw * chance.choice((0.3, 0.7, 1.0)), 3),
        facility_ids=asked,
        priority=chance.choice((1, 2)),
        callback_url="https://utility.example/callbacks",
        randomize_start_s=chance.choice((0, 0, 0, 120)),
    )


def _changes(
    chance: Random,
    facilities: tuple[FacilityEntry, ...],
    posted: JudgeNotification,
    at_s: float,
    end_s: float,
) -> list[Wish]:
    """Modifications, in the order of their numbers or not, some sent twice."""
    wishes, notice = [], posted.notice
    for number in range(1, chance.choice((2, 2, 3, 4))):
        notice = _changed(chance, facilities, replace(notice, modification_number=number))
        wish = Wish(
            at_s=chance.uniform(max(0.0, at_s - 20), end_s + 60),
            by="utility",
            command=ModifyDREvent(
                utility_id=UTILITY, utility_event_id=posted.utility_event_id, notice=notice
            ),
            key=f"{posted.utility_event_id}-n{number}",
        )
        wishes.append(wish)
        if chance.random() < 0.3:
            wishes.append(replace(wish, at_s=wish.at_s + chance.choice((0.0, 5.0, 90.0))))
    return wishes


def _changed(chance: Random, facilities: tuple[FacilityEntry, ...], notice: Notice) -> Notice:
    """Shortened, extended, moved, deeper or shallower, or over other facilities."""
    minutes = timedelta(minutes=chance.choice((-10, -5, 5, 10)))
    match chance.choice(("end", "move", "target", "facilities")):
        case "end":
            return replace(notice, ends_at=max(notice.ends_at + minutes, notice.starts_at + QUARTER / 3))
        case "move":
            return replace(notice, starts_at=notice.starts_at + minutes, ends_at=notice.ends_at + minutes)
        case "target":
            return replace(notice, target_kw=round(notice.target_kw * chance.choice((0.5, 1.5)), 3))
    asked = tuple(entry.facility_id for entry in facilities if chance.random() < 0.7) or notice.facility_ids
    return replace(notice, facility_ids=asked)


def _cancellations(chance: Random, name: str, at_s: float, end_s: float) -> list[Wish]:
    """By the utility, perhaps before its notification arrives, or by an operator."""
    cancel_at_s = chance.uniform(max(0.0, at_s - 30), end_s + 120)
    if chance.random() < 0.3:
        stream = dr_event_id(UTILITY, name)
        command = CancelDREvent(dr_event_id=stream, reason="the grid is stable again")
        return [Wish(at_s=cancel_at_s, by="operator", command=command)]
    wish = Wish(
        at_s=cancel_at_s,
        by="utility",
        command=CancelNotifiedDREvent(
            utility_id=UTILITY,
            utility_event_id=name,
            modification_number=chance.choice((None, 0, 3)),
            reason="cancelled by the utility",
        ),
    )
    return [wish, replace(wish, at_s=cancel_at_s + 1.0)][: chance.choice((1, 2))]


def _opting(chance: Random, facility_id: str, until_s: float) -> list[Wish]:
    which = chance.choice((None, dr_event_id(UTILITY, "U-1")))
    out = OptOutFacility(facility_id=facility_id, dr_event_id=which, reason="a wedding in the hall")
    back = OptInFacility(facility_id=facility_id, dr_event_id=which, reason="it was called off")
    at_s = chance.uniform(0, until_s)
    wishes = [Wish(at_s=at_s, by="facility", command=out)]
    if chance.random() < 0.5:
        wishes.append(Wish(at_s=at_s + chance.uniform(0, 600), by="facility", command=back))
    return wishes

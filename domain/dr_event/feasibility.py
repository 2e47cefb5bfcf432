"""Feasibility of a DR event: every reason against it, and the available capacity.

Pure functions: a handler collects the facts from the aggregates, `assess_feasibility` decides, the aggregate
records.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import fsum, inf, isfinite
from typing import Literal
from uuid import UUID

import msgspec

from domain.telemetry.intervals import whole_intervals
from domain.time_series.windows import TimeWindow, as_utc

RefusalCode = Literal[
    "unknown_facility",
    "duplicate_facility",
    "no_facility",
    "facility_in_maintenance",
    "facility_deactivated",
    "not_enrolled",
    "opted_out",
    "not_restored",
    "overlap",
    "minimum_off_time",
    "past_start",
    "end_before_start",
    "too_short",
    "too_long",
    "notice_too_short",
    "daily_limit",
    "season_limit",
    "insufficient_capacity",
    "target_not_positive",
    "already_started",
    "past_end",
    "program_changed",
    "unavailable",
    "too_far_ahead",
    "no_whole_interval",
    "no_service_level",
    "weekdays_only",
    "outside_hours",
    "outside_days",
    "outside_season",
    "unknown_kind",
    "no_settlement_rule",
    "price_off_interval",
    "duplicate_price",
    "prices_of_other_window",
]
FacilityStatus = Literal["active", "maintenance", "deactivated"]
CapacitySource = Literal["forecast", "declared"]

TOLERANCE_KW = 1e-6
"""Two powers that differ by no more than this are equal."""


class Refusal(msgspec.Struct, frozen=True):
    """A reason why a DR event is refused; `facility_id` is None for a reason that concerns the whole request."""

    code: RefusalCode
    detail: str
    facility_id: str | None = None


class DREventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A utility's request as received: times may be in the wrong order, ids unknown or repeated."""

    dr_event_id: UUID
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    facility_ids: tuple[str, ...]
    start_stands: bool = False
    """The start is already in force, and may be past: the notice time is not checked again."""


class ProgramTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The contract terms of a program about timing and size."""

    notification_lead_s: float
    minimum_duration_s: float
    maximum_duration_s: float
    acceptable_share: float
    """0..1: with less than this share of the target, a DR event is refused."""
    maximum_lead_s: float = inf
    """A start further ahead than this is refused."""
    prepare_lead_s: float = 0.0
    """A shorter notice than this is not refused: the preparation then begins at once."""


class HeldWindow(msgspec.Struct, frozen=True):
    """A reservation that excludes the assessed DR event. One that `yields` is given up for it."""

    dr_event_id: UUID
    window: TimeWindow
    yields: bool = False
    own: bool = True
    """Whether it is a DR event of the same utility. Of one of another utility nothing is reported."""
    curtailed_until: datetime | None = None
    """Set if it would yield, but minimum off times keep the building curtailed until then."""


class FacilityFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts about one facility at the time of the assessment. Counts exclude the DR event itself."""

    facility_id: str
    status: FacilityStatus
    enrolled: bool
    capacity_kw: float
    capacity_source: CapacitySource = "declared"
    data_quality: str | None = None
    """The data quality of the forecast, if `capacity_source` is `forecast`."""
    opted_out: bool = False
    not_restored: bool = False
    """Another DR event of this utility may have left its building curtailed; the restore is still retried."""
    not_restored_of_others: bool = False
    """The same, of a DR event of another utility."""
    reservations: tuple[HeldWindow, ...] = ()
    """Those that exclude the DR event."""
    dr_events_that_day: int = 0
    dr_events_that_season: int = 0
    of_others_that_day: int = 0
    """How many of them are DR events of other utilities; counted only where a limit is reached."""
    of_others_that_season: int = 0
    dr_events_per_day: int = 1_000
    dr_events_per_season: int = 100_000
    longest_dr_event_s: float = 86_400.0
    notification_lead_s: float = 0.0
    violations: Mapping[RefusalCode, str] = {}
    """What the program's contract has against the window at this facility, with the detail."""


class Feasibility(msgspec.Struct, frozen=True):
    """The result of the assessment. Without reasons the request can be accepted, with `shortfall_kw` missing.

    `capacity_kw` counts the facilities that can take part; `degraded` lists those with a degraded forecast.
    """

    reasons: tuple[Refusal, ...]
    capacity_kw: float
    shortfall_kw: float
    degraded: tuple[str, ...] = ()
    capacity_degraded_kw: float = 0.0


def assess_feasibility(
    request: DREventRequest, *, now: datetime, program: ProgramTerms, facilities: Mapping[str, FacilityFacts]
) -> Feasibility:
    """Assess `request` at `now`. `facilities` holds the facts of every requested facility that exists.

    Every reason is reported: first those of the request, then those of each facility in the requested order.
    A reason that only repeats another is left out: a past start is not also too short a notice, an end before
    the start is not also too short a window, too short a window does not also lack a whole quarter-hour, and no
    capacity is missing if no facility can take part.
    """
    requested = tuple(dict.fromkeys(request.facility_ids))
    reasons = [*_timing(request, now, program), *_target(request), *_ids(request, facilities)]
    able: list[FacilityFacts] = []
    for facility_id in requested:
        if (facts := facilities.get(facility_id)) is None:
            continue
        refusals = list(_facility(facts, request, now))
        reasons += refusals
        if not refusals:
            able.append(facts)
    capacity_kw = _sum_kw(able)
    poor = [facts for facts in able if facts.data_quality not in (None, "full")]
    if able:
        reasons += _capacity(request, capacity_kw, program)
    wanted_kw = request.target_kw if isfinite(request.target_kw) else 0.0
    shortfall_kw = max(0.0, wanted_kw - capacity_kw)
    return Feasibility(
        tuple(reasons),
        capacity_kw,
        shortfall_kw if shortfall_kw > TOLERANCE_KW else 0.0,
        tuple(facts.facility_id for facts in poor),
        _sum_kw(poor),
    )


def _sum_kw(facilities: list[FacilityFacts]) -> float:
    """The sum of the capacities, in a fixed order, so that the result is always bit-identical."""
    return fsum(max(0.0, facts.capacity_kw) for facts in sorted(facilities, key=lambda f: f.facility_id))


def _timing(request: DREventRequest, now: datetime, program: ProgramTerms) -> Iterator[Refusal]:
    starts_at, ends_at = as_utc(request.starts_at), as_utc(request.ends_at)
    if ends_at <= starts_at:
        yield Refusal(
            "end_before_start", f"ends_at {ends_at.isoformat()} is not after {starts_at.isoformat()}"
        )
    else:
        yield from _duration(TimeWindow(starts_at, ends_at), program)
    if request.start_stands:
        if ends_at <= now:
            yield Refusal("past_end", f"ends_at {ends_at.isoformat()} is not after now, {now.isoformat()}")
        return
    notice_s = (starts_at - now).total_seconds()
    if notice_s < 0 or (notice_s == 0 and program.notification_lead_s > 0):
        yield Refusal("past_start", f"starts_at {starts_at.isoformat()} is not after now, {now.isoformat()}")
    elif notice_s < program.notification_lead_s:
        wanted = f"the program asks for {program.notification_lead_s:g} s"
        yield Refusal("notice_too_short", f"notice is {notice_s:g} s, {wanted}")
    elif notice_s > program.maximum_lead_s:
        days = f"{notice_s / 86_400:.1f} days ahead, at most {program.maximum_lead_s / 86_400:g} are taken"
        yield Refusal("too_far_ahead", f"starts_at {starts_at.isoformat()} is {days}; ask again later")


def _duration(window: TimeWindow, program: ProgramTerms) -> Iterator[Refusal]:
    duration_s = window.duration_s
    if duration_s < program.minimum_duration_s:
        yield Refusal(
            "too_short", f"lasts {duration_s:g} s, the program's minimum is {program.minimum_duration_s:g} s"
        )
    elif whole_intervals(window.starts_at, window.ends_at) is None:
        between = f"{window.starts_at:%H:%M:%S} and {window.ends_at:%H:%M:%S} UTC"
        detail = "so nothing can be measured; begin or end on the quarter-hour"
        yield Refusal("no_whole_interval", f"there is no whole quarter-hour between {between}, {detail}")
    if duration_s > program.maximum_duration_s:
        yield Refusal(
            "too_long", f"lasts {duration_s:g} s, the program's maximum is {program.maximum_duration_s:g} s"
        )


def _target(request: DREventRequest) -> Iterator[Refusal]:
    if not (isfinite(request.target_kw) and request.target_kw > 0):
        yield Refusal("target_not_positive", f"the target must be above 0 kW, got {request.target_kw!r}")


def _ids(request: DREventRequest, facilities: Mapping[str, FacilityFacts]) -> Iterator[Refusal]:
    if not request.facility_ids:
        yield Refusal("no_facility", "the request names no facility")
    for facility_id, times in Counter(request.facility_ids).items():
        if times > 1:
            yield Refusal("duplicate_facility", f"named {times} times; name it once", facility_id)
        if facility_id not in facilities:
            yield Refusal("unknown_facility", "no facility has this id", facility_id)


def _facility(facts: FacilityFacts, request: DREventRequest, now: datetime) -> Iterator[Refusal]:
    facility_id = facts.facility_id
    if facts.status == "maintenance":
        yield Refusal("facility_in_maintenance", "is in maintenance; ask without it", facility_id)
    if facts.status == "deactivated":
        yield Refusal("facility_deactivated", "is deactivated; ask without it", facility_id)
    if not facts.enrolled:
        yield Refusal("not_enrolled", "is not enrolled in this program; ask without it", facility_id)
    if facts.opted_out:
        yield Refusal("opted_out", "has opted out; ask without it", facility_id)
    if facts.not_restored:
        detail = "its building is not restored yet from an earlier DR event; ask without it, or later"
        yield Refusal("not_restored", detail, facility_id)
    for code, detail in facts.violations.items():
        yield Refusal(code, detail, facility_id)
    yield from _overlaps(facts)
    yield from _limits(facts, request, now)
    if _is_taken_by_others(facts, request):
        yield Refusal(
            "unavailable", "is not available then; ask without it, or for another time", facility_id
        )


def _is_taken_by_others(facts: FacilityFacts, request: DREventRequest) -> bool:
    """True if DR events of other utilities alone exclude it: neither their times nor their number is reported."""
    own_that_day = facts.dr_events_that_day - facts.of_others_that_day
    own_that_season = facts.dr_events_that_season - facts.of_others_that_season
    return (
        facts.not_restored_of_others
        or any(not held.own and not held.yields for held in facts.reservations)
        or own_that_day < facts.dr_events_per_day <= facts.dr_events_that_day
        or own_that_season < facts.dr_events_per_season <= facts.dr_events_that_season
    )


def _overlaps(facts: FacilityFacts) -> Iterator[Refusal]:
    for held in facts.reservations:
        if held.yields or not held.own:
            continue
        if held.curtailed_until is not None:
            until = f"{held.curtailed_until.isoformat()}, by its minimum off time"
            yield Refusal("minimum_off_time", f"must stay curtailed until {until}", facts.facility_id)
            continue
        period = f"{held.window.starts_at.isoformat()} to {held.window.ends_at.isoformat()}"
        detail = f"already serves a DR event from {period}, and is restored before it is prepared for another"
        yield Refusal("overlap", detail, facts.facility_id)


def _limits(facts: FacilityFacts, request: DREventRequest, now: datetime) -> Iterator[Refusal]:
    facility_id = facts.facility_id
    duration_s = (request.ends_at - request.starts_at).total_seconds()
    notice_s = (request.starts_at - now).total_seconds()
    if duration_s > facts.longest_dr_event_s:
        agreed = f"at most {facts.longest_dr_event_s:g} s is agreed"
        yield Refusal("too_long", f"lasts {duration_s:g} s, {agreed}", facility_id)
    if not request.start_stands and 0 <= notice_s < facts.notification_lead_s:
        agreed = f"{facts.notification_lead_s:g} s is agreed"
        yield Refusal("notice_too_short", f"notice is {notice_s:g} s, {agreed}", facility_id)
    if facts.dr_events_that_day - facts.of_others_that_day >= facts.dr_events_per_day:
        yield Refusal("daily_limit", f"has its {facts.dr_events_per_day} DR events of that day", facility_id)
    if facts.dr_events_that_season - facts.of_others_that_season >= facts.dr_events_per_season:
        yield Refusal(
            "season_limit", f"has its {facts.dr_events_per_season} DR events of that season", facility_id
        )


def _capacity(request: DREventRequest, capacity_kw: float, program: ProgramTerms) -> Iterator[Refusal]:
    if not (isfinite(request.target_kw) and request.target_kw > 0):
        return
    wanted_kw = request.target_kw * program.acceptable_share
    if capacity_kw < wanted_kw - TOLERANCE_KW:
        wanted = f"{wanted_kw:.3f} kW ({program.acceptable_share:.0%} of the target)"
        yield Refusal(
            "insufficient_capacity", f"the facilities can give {capacity_kw:.3f} kW, wanted are {wanted}"
        )

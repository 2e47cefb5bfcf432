"""The inputs of a settlement by the log: the DR event's state, the states of its dispatches, and the rule; pure,
without telemetry.

The steps are those that the newest measurement of each facility recorded, so that a settlement follows from the log.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from hashlib import sha256

import msgspec

from application.settlement.shapes import EventFacilityInputs, EventInputs
from domain.dispatch import DispatchState
from domain.dr_event import DREventState, Notice
from domain.program import SettlementRule
from domain.settlement.inputs import (
    Commitment,
    EventStatus,
    FacilityResult,
    MeteringStep,
    Price,
)
from domain.settlement.quantities import rounding_of
from domain.settlement.resettlement import Basis
from domain.settlement.rounding import ENERGY_PLACES, Rounding, decimal_text, exact
from domain.telemetry.intervals import INTERVAL_S
from domain.units import decimal_string

NO_RULE, CANCELLED = "no_rule", "cancelled_before_start"
"""Reasons of a DR event for which nothing can be computed: no rule was agreed, whether it took place or not."""
_STEP = timedelta(seconds=INTERVAL_S)
_DIGITS = Decimal("0.001")
_STATUSES: dict[str, EventStatus] = {
    "completed": "completed",
    "cancelled": "cancelled",
    "cancelled_while_active": "cancelled_while_active",
}

Dispatches = Mapping[str, DispatchState]
"""Facility -> its dispatch; one that was given no part in the plan has none."""


def basis_of_dr_event(
    dr_event: DREventState, rule: SettlementRule, dispatches: Dispatches, tz_of: Mapping[str, str]
) -> Basis:
    """`dr_event` is over and measured. `tz_of` has the time zone of the facilities that were not measured."""
    rounding = rounding_of(rule)
    return Basis(
        rule=rule,
        dr_event=ended_event(dr_event, dispatches, tz_of),
        steps={
            facility_id: [
                MeteringStep(
                    starts_at=load.starts_at + _STEP * number,
                    adjusted_kw=step_kw(adjusted, rounding),
                    metered_kw=step_kw(metered, rounding),
                )
                for number, (adjusted, metered) in enumerate(
                    zip(load.adjusted_kw, load.metered_kw, strict=True)
                )
            ]
            for facility_id, dispatch in sorted(dispatches.items())
            if (load := dispatch.measured_load) is not None
        },
        step_s=INTERVAL_S,
    )


def ended_event(dr_event: DREventState, dispatches: Dispatches, tz_of: Mapping[str, str] = {}) -> EventInputs:
    """The DR event with each facility that was asked for, or was in its plan."""
    notice = dr_event.judged_notice
    headroom_kw = {one.facility_id: one.headroom_kw for one in dr_event.targets}
    return EventInputs(
        dr_event_id=str(dr_event.dr_event_id),
        program_id=notice.program_id,
        kind=dr_event.kind,
        status=_STATUSES[dr_event.status],
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        ended_at=dr_event.released_at if dr_event.status == "cancelled_while_active" else None,
        prices=tuple(Price(starts_at=one.starts_at, per_kwh=one.per_kwh) for one in dr_event.prices),
        facilities=tuple(
            _without_dispatch(dr_event, facility_id, tz_of.get(facility_id, "UTC"))
            if (dispatch := dispatches.get(facility_id)) is None
            else _facility(notice, dispatch, tz_of.get(facility_id, "UTC"), headroom_kw.get(facility_id))
            for facility_id in facilities_of(dr_event)
        ),
    )


def facilities_of(dr_event: DREventState) -> list[str]:
    """The facilities that were asked for, or were in the plan, rising."""
    return sorted({*dr_event.judged_notice.facility_ids, *dr_event.dispatched})


def reasons_without_document(dr_event: DREventState, rule: SettlementRule | None) -> tuple[str, ...]:
    """Why nothing can be computed, and there is no document; empty: the rule says what is settled."""
    if rule is None:
        return (CANCELLED if dr_event.status == "cancelled" else NO_RULE,)
    return ()


def lacks_time_zone(dispatches: Dispatches, facility_id: str) -> bool:
    """True if no measurement gives the time zone of the facility."""
    dispatch = dispatches.get(facility_id)
    return dispatch is None or dispatch.measured_load is None


def inputs_digest(basis: Basis) -> str:
    """SHA-256 (hex) of the rule, the DR event, and the steps."""
    return sha256(msgspec.json.encode(basis, order="sorted")).hexdigest()


def digest_of_rule(rule: SettlementRule) -> str:
    """SHA-256 (hex)."""
    return sha256(msgspec.json.encode(rule, order="sorted")).hexdigest()


def step_kw(kw: float | None, rounding: Rounding) -> str | None:
    """A float by its shortest decimal, rounded as the rule says.

    Only a decimal that ends in a 5 at the fourth place, or is written with an exponent, needs more than the nearest.
    """
    if kw is None:
        return None
    digits = repr(kw)
    places = len(digits) - digits.find(".") - 1
    if "e" not in digits and "." in digits and (places != ENERGY_PLACES + 1 or digits[-1] != "5"):
        text = f"{kw:.{ENERGY_PLACES}f}"
        return text[1:] if text == "-0.000" else text
    return decimal_text(rounding.energy(exact(decimal_string(kw))), ENERGY_PLACES)


def _facility(
    notice: Notice, dispatch: DispatchState, tz: str, headroom_kw: float | None
) -> EventFacilityInputs:
    """`headroom_kw` is what its plan says that it can shed at most."""
    result, left_at = _result(dispatch)
    own_start = dispatch.starts_at if dispatch.starts_at > notice.starts_at else None
    load = dispatch.measured_load
    powers = [(one.starts_at, _three_digits(one.kw)) for one in dispatch.promised]
    return EventFacilityInputs(
        facility_id=dispatch.facility_id,
        tz=tz if load is None else load.tz,
        result=result,
        committed_kw=powers[-1][1] if powers else _three_digits(dispatch.target_kw),
        commitments=tuple(Commitment(from_=at, kw=kw) for at, kw in powers) if len(powers) > 1 else (),
        starts_at=own_start,
        ends_at=left_at if result == "committed" else None,
        opted_out_at=left_at if result == "opted_out" else None,
        event_days=() if load is None else load.dr_event_days,
        level_kw=None if dispatch.baseline_parameters is None else dispatch.baseline_parameters.level_kw,
        curtailable_kw=None if headroom_kw is None else _three_digits(headroom_kw),
    )


def _without_dispatch(dr_event: DREventState, facility_id: str, tz: str) -> EventFacilityInputs:
    """Nothing was committed for it. Without any plan all of them failed."""
    result: FacilityResult = "excused"
    if facility_id in dr_event.opted_out_facilities:
        result = "opted_out"
    elif not dr_event.plan_revision:
        result = "failed"
    return EventFacilityInputs(facility_id=facility_id, tz=tz, result=result)


def _result(dispatch: DispatchState) -> tuple[FacilityResult, datetime | None]:
    """The result, and when it left during the window.

    What a facility delivered until it had to leave for the utility's sake counts: its own window ends then. One that
    left by itself, or with a batch that we ended, counts by the rule for opt-outs, from then on.
    """
    left_at = _left_during_window(dispatch)
    match dispatch.left:
        case None:
            pass
        case "opted_out":
            return "opted_out", left_at
        case "batch_aborted":
            return ("opted_out", left_at) if left_at is not None else ("failed", None)
        case _:
            return ("committed", left_at) if left_at is not None else ("excused", None)
    served = dispatch.was_committed and dispatch.failure is None
    return ("committed", None) if served else ("failed", None)


def _left_during_window(dispatch: DispatchState) -> datetime | None:
    """None: it stayed, or it left before it had shed anything."""
    left_at = dispatch.left_at
    if left_at is None or not dispatch.was_committed or left_at <= dispatch.starts_at:
        return None
    return left_at


def _three_digits(kw: float) -> str:
    return f"{Decimal(repr(kw)).quantize(_DIGITS, ROUND_HALF_UP):f}"

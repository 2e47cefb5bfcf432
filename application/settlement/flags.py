"""Flags: what somebody should look at beside the amounts. No amount follows from a flag."""

from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

from application.settlement.shapes import EventFacilityInputs, FacilityFigures, Flag, SettlementDocument
from domain.settlement.rounding import Exact, exact

SHIFTED_ABOVE = exact("1.1")
"""Metered load before the start, as a multiple of the baseline there."""
FEWEST_DAYS = 5
"""Days that a baseline by days is expected to look at."""
LEAST_COVERAGE = exact("0.9")
OTHER_DR_EVENT = "other_dr_event_before_start"
FEWEST_STEPS_OF_A_FLAT_METER = 2


class FlagText(NamedTuple):
    """The meaning of a flag, and what to do."""

    means: str
    do: str


FLAGS: dict[str, FlagText] = {
    "adjustment_at_cap": FlagText(
        "The load before the start was so far from the baseline that the same-day adjustment reached its bound.",
        "Look at the day's load before the start: was there a shutdown, an exceptional load, or a wrong meter? "
        "If the days before are not like this one, agree another baseline method.",
    ),
    "load_shifted_into_adjustment_window": FlagText(
        "The load before the start was more than 10 % above the baseline there, which raises the baseline of the "
        "window: pre-cooling, or load moved into these hours to be paid for its reduction.",
        "Compare the hours with those of other days and DR events of the facility. If it recurs, agree an adjustment "
        "that ends earlier, or one that has a lower bound.",
    ),
    "meter_flat": FlagText(
        "The meter gave one value in all steps of the window: a meter that stands still, or a substituted value.",
        "Ask for the meter's own readings and import them; the DR event is settled again within the deadline.",
    ),
    "few_baseline_days": FlagText(
        f"The baseline looked at fewer than {FEWEST_DAYS} days, so that one exceptional day weighs much.",
        "Compare the days with the one before them, or agree a method that looks at more days.",
    ),
    "delivered_above_curtailable": FlagText(
        "More was delivered than the facility can shed according to the portfolio: a baseline that is too high, or "
        "a capacity that is out of date.",
        "Check the curtailable power in the portfolio, and the baseline against a similar day.",
    ),
    "coverage_below_90": FlagText(
        "Fewer than 90 % of the window's steps were metered; the known ones stand for the others of their interval.",
        "Import the missing readings; the DR event is settled again within the deadline.",
    ),
    "baseline_negative": FlagText(
        "The baseline was below 0 kW: the facility feeds into the grid at these hours.",
        "Check that the program is meant for facilities that export, and what its rule says of `delivered.export`.",
    ),
    OTHER_DR_EVENT: FlagText(
        "The facility served another DR event on that day, and the load before the start counts in the baseline: if it "
        "was curtailed then, the baseline is too low.",
        "Compare the hours before the start with those of other days. If it recurs, agree a method without them.",
    ),
    "late_readings": FlagText(
        "Readings that came after the first measurement changed what was settled.",
        "See the revisions for what changed. If it recurs, look at the facility's meter gateway.",
    ),
}


def flags_of(document: SettlementDocument) -> tuple[Flag, ...]:
    """The flags of every facility, in the order of FLAGS, from what the document itself says."""
    inputs = {one.facility_id: one for one in document.inputs.dr_event.facilities}
    found = []
    for facility in document.facilities:
        for name, look in _LOOKS.items():
            figure = look(facility, inputs.get(facility.facility_id))
            if figure is not None:
                text = FLAGS[name]
                found.append(
                    Flag(
                        flag=name,
                        facility_id=facility.facility_id,
                        figure=figure,
                        means=text.means,
                        do=text.do,
                    )
                )
    return tuple(found)


Look = Callable[[FacilityFigures, EventFacilityInputs | None], str | None]
"""What was seen, in numbers; None: nothing."""


def _adjustment_at_cap(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    adjustment = None if facility.baseline is None else facility.baseline.adjustment
    if adjustment is None or not adjustment.clipped:
        return None
    unit = " kW" if adjustment.kind == "additive" else ""
    raw = "" if adjustment.raw is None else f", would have been {adjustment.raw:.3f}{unit}"
    return f"{adjustment.kind} {adjustment.value:.3f}{unit}{raw}"


def _load_shifted(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    adjustment = None if facility.baseline is None else facility.baseline.adjustment
    if adjustment is None or adjustment.metered_kw is None or adjustment.baseline_kw is None:
        return None
    metered, baseline = exact(repr(adjustment.metered_kw)), exact(repr(adjustment.baseline_kw))
    if baseline <= 0 or metered <= SHIFTED_ABOVE * baseline:
        return None
    return f"{adjustment.metered_kw:.3f} kW metered, {adjustment.baseline_kw:.3f} kW baseline"


def _meter_flat(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    metered = [step.metered_kw for step in facility.steps if step.metered_kw is not None]
    if len(metered) < FEWEST_STEPS_OF_A_FLAT_METER or len(set(metered)) > 1:
        return None
    return f"{metered[0]} kW in {len(metered)} steps"


def _few_days(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    days = 0 if facility.baseline is None else facility.baseline.days_considered
    return f"{days} days" if 0 < days < FEWEST_DAYS else None


def _above_curtailable(facility: FacilityFigures, inputs: EventFacilityInputs | None) -> str | None:
    if inputs is None or inputs.curtailable_kw is None:
        return None
    delivered = [one.delivered_kw for one in facility.intervals if one.delivered_kw is not None]
    most = max(delivered, key=exact, default="0")
    if exact(most) <= exact(inputs.curtailable_kw):
        return None
    return f"{most} kW delivered, {inputs.curtailable_kw} kW curtailable"


def _coverage(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    """A facility that is left out for it has no intervals, so its steps are counted then."""
    known, steps = sum(one.known_steps for one in facility.intervals), len(facility.steps)
    if not facility.intervals:
        known = sum(1 for step in facility.steps if step.metered_kw is not None)
    if not steps or Exact(known, steps) >= LEAST_COVERAGE:
        return None
    return f"{known} of {steps} steps"


def _baseline_negative(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    below = [kw for step in facility.steps if (kw := step.adjusted_kw) is not None and exact(kw) < 0]
    return f"{min(below, key=exact)} kW at the least, in {len(below)} steps" if below else None


def _other_dr_event(facility: FacilityFigures, inputs: EventFacilityInputs | None) -> str | None:
    baseline, steps = facility.baseline, facility.steps
    if baseline is None or inputs is None or not inputs.event_days or not steps:
        return None
    is_adjusted = baseline.adjustment is not None and baseline.adjustment.starts_at is not None
    if not is_adjusted and baseline.method != "meter-before-meter-after":
        return None
    day = steps[0].starts_at.astimezone(ZoneInfo(inputs.tz)).date()
    return f"another DR event on {day}" if day in inputs.event_days else None


def _late(facility: FacilityFigures, _: EventFacilityInputs | None) -> str | None:
    baseline = facility.baseline
    return "measured again" if baseline is not None and baseline.late_readings else None


_LOOKS: dict[str, Look] = {
    "adjustment_at_cap": _adjustment_at_cap,
    "load_shifted_into_adjustment_window": _load_shifted,
    "meter_flat": _meter_flat,
    "few_baseline_days": _few_days,
    "delivered_above_curtailable": _above_curtailable,
    "coverage_below_90": _coverage,
    "baseline_negative": _baseline_negative,
    OTHER_DR_EVENT: _other_dr_event,
    "late_readings": _late,
}

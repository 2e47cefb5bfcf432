"""Who counts in a settlement, and for how long: results, windows, cancellations, commitments that change, coverage."""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from msgspec.structs import replace

from domain.settlement.inputs import Commitment, EventFacility
from domain.settlement.settle import Settlement, settle
from tests.settlement_cases import (
    HOUR,
    STARTS_AT,
    STEP_S,
    components_of,
    ended_event,
    facility,
    gross_of,
    rule_of,
    steps_of,
)

ENERGY = {"rate": "1.00"}
ZERO_FOR_ALL = {"opted_out": "zero", "failed": "zero"}
EXCUSED = {"opted_out": "excused", "failed": "excused"}


def at(hours: float) -> datetime:
    return STARTS_AT + HOUR * hours


def settled(
    one: EventFacility, *metered_kw: str | None, rule: dict[str, Any] | None = None, **members: Any
) -> Settlement:
    """Two hours of one facility, 100 kW delivered in each unless it says otherwise."""
    dr_event = ended_event(one, hours=2, **members)
    steps = {one.facility_id: steps_of(*(metered_kw or ("400", "400")))}
    return settle(rule_of(energy=ENERGY, **(rule or {})), dr_event, steps, step_s=STEP_S)


def energy_of(settlement: Settlement) -> tuple[float, float]:
    """Committed and counted kWh."""
    (unit,) = settlement.units
    return float(unit.committed_kwh), float(unit.counted_kwh)


@pytest.mark.parametrize(
    ("result", "results", "reason"),
    [
        ("committed", {}, None),
        ("excused", {}, "excused"),
        ("excused", ZERO_FOR_ALL, "excused"),
        ("opted_out", {}, "opted_out"),
        ("opted_out", EXCUSED, "opted_out"),
        ("failed", EXCUSED, "failed"),
    ],
)
def test_a_facility_that_is_left_out_has_a_reason_and_no_line(
    result: Any, results: dict[str, str], reason: str | None
) -> None:
    settlement = settled(facility(result=result), rule={"results": results})
    assert settlement.facilities[0].reason == reason
    assert settlement.reasons == (() if reason is None else (reason,))
    assert components_of(settlement) == (["energy 200.00"] if reason is None else [])


@pytest.mark.parametrize(
    ("result", "results"), [("failed", {}), ("failed", ZERO_FOR_ALL), ("opted_out", ZERO_FOR_ALL)]
)
def test_a_facility_that_counts_as_zero_keeps_what_was_committed(
    result: Any, results: dict[str, str]
) -> None:
    """Whatever its meter shows, and also without readings."""
    for metered in (("400", "400"), (None, None)):
        settlement = settled(facility(result=result), *metered, rule={"results": results})
        assert energy_of(settlement) == (200, 0)
        assert settlement.facilities[0].coverage == 1


def test_an_excused_opt_out_ends_the_window_of_the_facility_with_a_whole_step() -> None:
    for minutes, committed in ((60, 100), (67, 100), (75, 125)):
        left = facility(result="opted_out", opted_out_at=at(minutes / 60))
        assert energy_of(settled(left)) == (committed, committed)


def test_an_opt_out_that_counts_as_zero_does_so_from_its_step_on() -> None:
    """At 67 minutes: one hour of 100, and of the second one the first step does not count either."""
    for minutes, counted in ((60, 100), (67, 100), (75, 125)):
        left = facility(result="opted_out", opted_out_at=at(minutes / 60))
        assert energy_of(settled(left, rule={"results": ZERO_FOR_ALL})) == (200, counted)


def test_an_opt_out_before_the_first_whole_step_leaves_no_window() -> None:
    left = facility(result="opted_out", opted_out_at=at(0.1))
    assert settled(left).reasons == ("no_window",)


def test_an_opt_out_at_the_start_is_one_before_it() -> None:
    assert settled(facility(result="opted_out", opted_out_at=at(0))).reasons == ("opted_out",)


def test_only_whole_steps_of_the_window_are_settled() -> None:
    dr_event = ended_event(facility(), starts_at=at(0.1), hours=1.5)
    settlement = settle(rule_of(energy=ENERGY), dr_event, {"f1": steps_of("400", "400")}, step_s=STEP_S)
    (unit,) = settlement.units
    assert (unit.intervals[0].starts_at, float(unit.hours)) == (at(0.25), 1.25)


def test_a_cancellation_while_active_ends_the_window() -> None:
    settlement = settled(facility(), status="cancelled_while_active", ended_at=at(1.1))
    assert energy_of(settlement) == (100, 100)


def test_a_dr_event_that_was_cancelled_before_its_start_is_not_settled() -> None:
    settlement = settled(facility(), status="cancelled", ended_at=at(-1))
    assert settlement.reasons == ("cancelled_before_start",)
    assert (len(settlement.lines), float(settlement.total)) == (0, 0.0)


def test_a_dr_event_without_facilities_is_not_settled() -> None:
    dr_event = replace(ended_event(hours=1), facilities=())
    assert settle(rule_of(), dr_event, {}, step_s=STEP_S).reasons == ("no_facility",)


def test_a_randomised_window_lies_in_the_intervals_of_the_event() -> None:
    """From 18:30 to 19:45: two steps of the first hour, three of the second."""
    own = facility(starts_at=at(0.5), ends_at=at(1.75))
    settlement = settled(own, "400", "450")
    (unit,) = settlement.units
    assert [(one.starts_at, float(one.hours)) for one in unit.intervals] == [(at(0), 0.5), (at(1), 0.75)]
    assert energy_of(settlement) == (125, 50 + 37.5)


def test_a_portfolio_weighs_a_shorter_window_by_its_steps() -> None:
    """f2 is there for two of the four steps of the hour: 100 + 100 x 2/4."""
    rule = rule_of(level="portfolio", energy=ENERGY)
    dr_event = ended_event(facility("f1"), facility("f2", starts_at=at(0.5)), hours=1)
    settlement = settle(rule, dr_event, {"f1": steps_of("400"), "f2": steps_of("400")}, step_s=STEP_S)
    (unit,) = settlement.units
    (hour,) = unit.intervals
    assert [hour.committed_kw, hour.counted_kw, unit.hours] == [150, 150, 1]
    assert gross_of(settlement.amounts) == ["100.00", "50.00"]


def test_a_portfolio_leaves_a_facility_without_readings_out_of_both_sums() -> None:
    rule = rule_of(level="portfolio", energy=ENERGY)
    dr_event = ended_event(facility("f1"), facility("f2"), hours=2)
    steps = {"f1": steps_of("400", "400"), "f2": steps_of("400", None)}
    (unit,) = settle(rule, dr_event, steps, step_s=STEP_S).units
    assert [one.committed_kw for one in unit.intervals] == [200, 100]
    assert [one.counted_kw for one in unit.intervals] == [200, 100]


def test_commitments_change_in_time_and_before_the_first_nothing_is_committed() -> None:
    changing = facility(
        commitments=(
            Commitment(from_=at(1.5), kw="80"),
            Commitment(from_=at(0.5), kw="120"),
        )
    )
    (unit,) = settled(changing).units
    assert [one.committed_kw for one in unit.intervals] == [60, 100]


def test_a_commitment_that_changes_within_a_step_is_weighted_by_time() -> None:
    """9 of 15 minutes at 100, 6 at 50: 80 kW in the first step, 57.5 over the hour."""
    begins = STARTS_AT + timedelta(minutes=9)
    changing = facility(
        commitments=(Commitment(from_=STARTS_AT, kw="100"), Commitment(from_=begins, kw="50"))
    )
    (unit,) = settled(changing).units
    assert [float(one.committed_kw) for one in unit.intervals] == [57.5, 50]


def test_the_steps_that_were_metered_stand_for_their_interval() -> None:
    steps = {"f1": steps_of("400", "440", None, "400", steps_each=1)}
    settlement = settle(rule_of(energy=ENERGY), ended_event(hours=1), steps, step_s=STEP_S)
    (one,) = settlement.facilities[0].intervals
    assert (one.steps, one.known_steps, one.delivered_kw) == (4, 3, Fraction("86.667"))
    assert float(settlement.facilities[0].coverage) == 0.75
    assert components_of(settlement) == ["energy 86.67"]


def test_a_facility_without_a_baseline_or_readings_is_not_settled() -> None:
    rule, dr_event = rule_of(energy=ENERGY), ended_event(hours=1)
    without_baseline = {"f1": steps_of("400", adjusted_kw=None)}
    assert settle(rule, dr_event, without_baseline, step_s=STEP_S).reasons == ("baseline",)
    assert settle(rule, dr_event, {"f1": steps_of(None)}, step_s=STEP_S).reasons == ("coverage",)
    assert settle(rule, dr_event, {}, step_s=STEP_S).reasons == ("baseline",)


def test_the_others_are_settled_without_a_facility_that_is_left_out() -> None:
    rule = rule_of(energy=ENERGY)
    dr_event = ended_event(facility("f1"), facility("f2", result="excused"), facility("f3"), hours=1)
    settlement = settle(rule, dr_event, {"f1": steps_of("400"), "f3": steps_of(None)}, step_s=STEP_S)
    assert settlement.reasons == ()
    assert [one.reason for one in settlement.facilities] == [None, "excused", "coverage"]
    assert list(settlement.amounts) == ["f1"]


def test_reasons_of_several_facilities_are_all_named() -> None:
    dr_event = ended_event(facility("f1", result="excused"), facility("f2"), hours=1)
    settlement = settle(rule_of(), dr_event, {"f2": steps_of(None)}, step_s=STEP_S)
    assert settlement.reasons == ("coverage", "excused")

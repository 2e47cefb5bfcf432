"""Flags: both sides of each threshold. No amount depends on one."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.settlement.flags import FLAGS, OTHER_DR_EVENT, flags_of
from application.settlement.shapes import (
    AdjustmentSummary,
    BaselineSummary,
    EventFacilityInputs,
    SettlementDocument,
)
from interfaces.settlement.audience import Audience, seen_by
from tests.settlement_cases import STARTS_AT, ended_event, steps_of
from tests.settlement_documents import V1_RULE, document_of, v1_document


def summary(**members: Any) -> BaselineSummary:
    return BaselineSummary(method="caiso-10-in-10", **members)


def with_adjustment(**members: Any) -> SettlementDocument:
    return v1_document("f1", f1=summary(adjustment=AdjustmentSummary(kind="multiplicative", **members)))


def metered(
    *metered_kw: str | None, adjusted_kw: str = "500", curtailable_kw: str | None = None
) -> SettlementDocument:
    """V1's rule; each value for one quarter-hour."""
    facility = EventFacilityInputs(facility_id="f1", committed_kw="100", curtailable_kw=curtailable_kw)
    return document_of(
        V1_RULE,
        ended_event(facility, hours=len(metered_kw) / 4),
        {"f1": steps_of(*metered_kw, steps_each=1, adjusted_kw=adjusted_kw)},
    )


def names(document: SettlementDocument) -> list[str]:
    return [one.flag for one in flags_of(document)]


def test_an_adjustment_at_its_bound_is_flagged_with_what_it_would_have_been() -> None:
    (flag,) = with_adjustment(value=1.2, raw=1.31, clipped=True).flags
    assert (flag.flag, flag.figure) == ("adjustment_at_cap", "multiplicative 1.200, would have been 1.310")
    assert names(with_adjustment(value=1.2, raw=1.2, clipped=False)) == []


@pytest.mark.parametrize(
    ("metered_kw", "flags"), [(110.0, []), (110.001, ["load_shifted_into_adjustment_window"])]
)
def test_load_more_than_ten_per_cent_above_the_baseline_before_the_start(
    metered_kw: float, flags: list[str]
) -> None:
    assert names(with_adjustment(value=1.1, baseline_kw=100.0, metered_kw=metered_kw)) == flags


@pytest.mark.parametrize(
    ("metered_kw", "flags"),
    [(("400", "400"), ["meter_flat"]), (("400", "400.001"), []), (("400", None), ["coverage_below_90"])],
)
def test_one_value_in_all_steps(metered_kw: tuple[str | None, ...], flags: list[str]) -> None:
    assert names(metered(*metered_kw)) == flags


@pytest.mark.parametrize(("days", "flags"), [(4, ["few_baseline_days"]), (5, []), (0, [])])
def test_a_baseline_of_fewer_than_five_days(days: int, flags: list[str]) -> None:
    assert names(v1_document("f1", f1=summary(days_considered=days))) == flags


@pytest.mark.parametrize(
    ("curtailable_kw", "flags"), [("99.999", ["delivered_above_curtailable"]), ("100", []), (None, [])]
)
def test_more_delivered_than_can_be_shed(curtailable_kw: str | None, flags: list[str]) -> None:
    assert names(metered("401", "400", "400", "399", curtailable_kw=curtailable_kw)) == flags


@pytest.mark.parametrize(("missing", "flags"), [(1, []), (2, ["coverage_below_90"])])
def test_fewer_than_nine_tenths_of_the_steps_metered(missing: int, flags: list[str]) -> None:
    values = [f"40{number}" for number in range(10)]
    values[:missing] = [None] * missing  # type: ignore[list-item]
    assert names(metered(*values)) == flags


def test_a_facility_left_out_for_its_coverage_is_flagged_with_the_steps_that_were_metered() -> None:
    rule = V1_RULE | {"missing": {"min_coverage": "0.9"}}
    found = document_of(rule, ended_event(hours=1), {"f1": steps_of("400", None, "410", None, steps_each=1)})
    assert [(one.flag, one.figure) for one in found.flags] == [("coverage_below_90", "2 of 4 steps")]


def test_a_facility_without_a_baseline_is_not_flagged_for_a_meter_that_gave_every_step() -> None:
    steps = steps_of("400", "410", "420", "430", steps_each=1, adjusted_kw=None)
    found = document_of(V1_RULE, ended_event(hours=1), {"f1": steps})
    assert found.reasons == ("baseline",)
    assert names(found) == []


@pytest.mark.parametrize(("adjusted_kw", "flags"), [("-0.001", ["baseline_negative"]), ("0", [])])
def test_a_baseline_below_zero(adjusted_kw: str, flags: list[str]) -> None:
    assert names(metered("1", "2", adjusted_kw=adjusted_kw)) == flags


@pytest.mark.parametrize(("late", "flags"), [(True, ["late_readings"]), (False, [])])
def test_readings_that_came_after_the_first_measurement(late: bool, flags: list[str]) -> None:
    assert names(v1_document("f1", f1=summary(late_readings=late))) == flags


def test_every_flag_says_what_it_means_and_what_to_do() -> None:
    document = metered("400", "400", None, None, adjusted_kw="-1")
    for flag in document.flags:
        assert (flag.means, flag.do) == FLAGS[flag.flag]
    assert all(text.means.endswith(".") and text.do.endswith(".") for text in FLAGS.values())


def test_no_amount_depends_on_a_flag() -> None:
    flagged, plain = with_adjustment(value=1.2, clipped=True), v1_document("f1")
    assert (flagged.lines, flagged.total) == (plain.lines, plain.total)
    assert replace(flagged, facilities=plain.facilities, flags=()) == replace(plain, inputs=flagged.inputs)


@pytest.mark.parametrize(
    ("method", "adjustment", "days_later", "flags"),
    [
        ("meter-before-meter-after", None, 0, [OTHER_DR_EVENT]),
        ("meter-before-meter-after", None, 1, []),
        (
            "caiso-10-in-10",
            AdjustmentSummary(kind="multiplicative", starts_at=STARTS_AT),
            0,
            [OTHER_DR_EVENT],
        ),
        ("caiso-10-in-10", None, 0, []),
    ],
)
def test_a_baseline_of_hours_that_another_dr_event_may_have_curtailed(
    method: str, adjustment: AdjustmentSummary | None, days_later: int, flags: list[str]
) -> None:
    day = STARTS_AT.date() + timedelta(days=days_later)
    facility = EventFacilityInputs(facility_id="f1", committed_kw="100", event_days=(day,))
    document = document_of(
        V1_RULE,
        ended_event(facility, hours=0.5),
        {"f1": steps_of("400", "401", steps_each=1)},
        {"f1": BaselineSummary(method=method, adjustment=adjustment)},
    )
    assert names(document) == flags
    assert names(document) == [one.flag for one in document.flags]
    of_utility = seen_by(Audience(utility_id="city-power"), document)
    assert OTHER_DR_EVENT not in [one.flag for one in of_utility.flags]

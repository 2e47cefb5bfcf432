"""The measurements in a proof are computed again from the file alone: whatever was changed is found and named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofBroken, ProofDocument
from application.ledger.proof_readings import TOO_MANY, ProvenReadings
from application.ledger.recomputation.recompute import Installation, recompute
from application.ledger.recomputation.results import Recomputation, RecomputedFacility
from domain.baseline import BaselineParameters
from domain.dispatch import MeasuredDay, MeasurementFigures
from domain.program import BaselineTerms
from tests.measured_portfolio import (
    FITTER,
    INDEPENDENCE_DAY,
    PROGRAM_HOLIDAYS,
    REGION_HOLIDAYS,
    MeasuredPortfolio,
    genuine,
    measured_portfolio,
    quarter_at,
    store_quarters,
    terms,
)

FORGED = "fac-002"
USED_DAY = date(2026, 7, 13)


class Calendar:
    """The public holidays of every region."""

    def region_of(self, tz: str, region: str | None) -> str:
        return region or tz

    def in_years(self, _region: str, first_year: int, last_year: int) -> frozenset[date]:
        return frozenset(day for day in REGION_HOLIDAYS if first_year <= day.year <= last_year)


def recomputed(document: ProofDocument, portfolio: MeasuredPortfolio) -> Recomputation:
    """As an auditor does it: from the bytes of the file, with the published key."""
    proof = check_proof(document.written(), portfolio.signer.public_key)
    return recompute(proof, Installation(Calendar(), FITTER))


def sealed(**options: Any) -> MeasuredPortfolio:
    portfolio = measured_portfolio(**options)
    portfolio.seal()
    return portfolio


def differing(result: Recomputation) -> RecomputedFacility:
    """The one that differs; every other one is equal."""
    assert result.differs
    (one,) = [facility for facility in result.facilities if facility.status == "differs"]
    assert [f.status for f in result.facilities].count("equal") == len(result.facilities) - 1
    return one


def named(one: RecomputedFacility) -> str:
    return "\n".join(difference.sentence for difference in one.differences)


def forged(change: Callable[[MeasurementFigures], MeasurementFigures]) -> MeasuredPortfolio:
    """A ledger whose operator recorded other figures for a facility, and signed them."""
    return sealed(forge=lambda facility_id, figures: change(figures) if facility_id == FORGED else figures)


def with_value(document: ProofDocument, starts_at: Any, kw: float | None) -> ProofDocument:
    def changed(one: ProvenReadings) -> ProvenReadings:
        nth = (starts_at - one.starts_at) // timedelta(seconds=one.step_s)
        return replace(one, kw=(*one.kw[:nth], kw, *one.kw[nth + 1 :]))

    return replace(
        document,
        readings=tuple(changed(one) if one.facility_id == FORGED else one for one in document.readings),
    )


@pytest.fixture(scope="module")
def portfolio() -> MeasuredPortfolio:
    return sealed()


@pytest.fixture(scope="module")
def proof(portfolio: MeasuredPortfolio) -> ProofDocument:
    return portfolio.prove_measured()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("caiso-10-in-10", {}),
        ("high-4-of-5", {}),
        ("high-5-of-10", {}),
        ("mid-8-of-10", {}),
        ("x-of-y", {"x": 4, "y": 6, "pick": "mid", "adjustment": "additive"}),
        ("meter-before-meter-after", {"before_s": 3_600}),
        ("firm-service-level", {"level_kw": 600.0}),
    ],
)
def test_genuine_measurements_are_computed_again_from_nothing_but_the_file(
    method: str, parameters: dict[str, Any]
) -> None:
    genuine_one = sealed(baseline=BaselineTerms(method=method, parameters=BaselineParameters(**parameters)))
    result = recomputed(genuine_one.prove_measured(), genuine_one)
    assert result.line == "recomputed 3 measurements of 3 facilities: all equal"
    assert [one.recomputed for one in result.facilities] == [one.recorded for one in result.facilities]
    assert not result.differs


def test_holidays_of_the_program_are_computed_again_from_its_terms() -> None:
    own = sealed(holidays=PROGRAM_HOLIDAYS)
    result = recomputed(own.prove_measured(), own)
    assert result.line.endswith("all equal")
    assert [one.notes for one in result.facilities] == [()] * 3


def test_a_changed_value_in_the_file_is_named(portfolio: MeasuredPortfolio, proof: ProofDocument) -> None:
    one = differing(recomputed(with_value(proof, quarter_at(USED_DAY, 12, 15), 1.5), portfolio))
    assert one.facility_id == FORGED
    assert "value of 2026-07-13 12:15-0700: recorded 637.14" in named(one)
    assert "recomputed 1.5" in named(one)
    assert "digest of the values used" in named(one)


def test_a_value_that_is_taken_out_of_the_file_is_named(
    portfolio: MeasuredPortfolio, proof: ProofDocument
) -> None:
    one = differing(recomputed(with_value(proof, quarter_at(USED_DAY, 12, 15), None), portfolio))
    assert "value of 2026-07-13 12:15-0700" in named(one)
    assert "choice of day 2026-07-13: recorded used, recomputed skipped (missing_interval)" in named(one)


def test_a_changed_value_of_the_window_that_was_recorded_and_signed_is_named() -> None:
    def lowered(figures: MeasurementFigures) -> MeasurementFigures:
        first, *rest = figures.intervals
        return replace(figures, intervals=(replace(first, metered_kw=400.0), *rest))

    lying = forged(lowered)
    one = differing(recomputed(lying.prove_measured(), lying))
    assert "value of 2026-07-14 11:" in named(one)
    assert "recorded 400.0" in named(one)


def test_another_delivery_than_its_values_give_is_named_with_the_sum() -> None:
    lying = forged(lambda figures: replace(figures, delivered_kw=figures.delivered_kw + 5.0))
    result = recomputed(lying.prove_measured(), lying)
    assert "delivered_kw: recorded" in named(differing(result))
    assert result.line == "recomputed 3 measurements of 3 facilities: 1 DIFFER, and their sum DIFFERS"
    assert result.total is not None
    assert result.total.recorded_kw - result.total.recomputed_kw == pytest.approx(5.0)


def test_another_choice_of_a_day_is_named() -> None:
    def chosen(figures: MeasurementFigures) -> MeasurementFigures:
        dropped = next(day for day in figures.days if day.use == "dropped_lowest")
        used = next(day for day in figures.days if day.use == "used")
        swap = {dropped.day: "used", used.day: "dropped_lowest"}
        days = tuple(replace(day, use=swap.get(day.day, day.use)) for day in figures.days)
        return replace(figures, days=days)

    lying = forged(chosen)
    one = differing(recomputed(lying.prove_measured(), lying))
    assert named(one).count("choice of day") == 2
    assert "recorded dropped_lowest, recomputed used" in named(one)


def test_a_day_that_was_left_out_of_the_record_is_named() -> None:
    def shortened(figures: MeasurementFigures) -> MeasurementFigures:
        kept: tuple[MeasuredDay, ...] = figures.days[1:]
        return replace(figures, days=kept)

    lying = forged(shortened)
    one = differing(recomputed(lying.prove_measured(), lying))
    assert "choice of day 2026-07-13: recorded not used, recomputed" in named(one)


def test_a_holiday_that_the_terms_do_not_have_is_named() -> None:
    lying = sealed(
        holidays=PROGRAM_HOLIDAYS,
        recorded_terms=terms(BaselineTerms(method="high-5-of-10"), (INDEPENDENCE_DAY,)),
    )
    result = recomputed(lying.prove_measured(), lying)
    assert [one.status for one in result.facilities] == ["differs"] * 3
    said = named(result.facilities[0])
    assert "holiday 2026-07-10: recorded a holiday, recomputed no holiday by the terms" in said
    assert "choice of day 2026-07-10: recorded skipped (holiday), recomputed" in said


def test_a_holiday_of_the_region_that_was_not_regarded_is_named() -> None:
    """The operator computed with a calendar without it, and all other figures follow from that."""
    lying = sealed(region_holidays=REGION_HOLIDAYS - {INDEPENDENCE_DAY})
    result = recomputed(lying.prove_measured(), lying)
    assert [one.status for one in result.facilities] == ["differs"] * 3
    assert named(result.facilities[0]) == (
        "holiday of US-CA 2026-07-03: recorded no holiday, recomputed a holiday by the calendar of this release"
    )


def test_another_method_or_parameter_than_the_terms_agree_on_is_named() -> None:
    agreed = terms(BaselineTerms(method="x-of-y", parameters=BaselineParameters(x=3, y=6)), None)
    for method, x in (("high-4-of-5", 3), ("x-of-y", 4)):
        lying = sealed(
            baseline=BaselineTerms(method=method, parameters=BaselineParameters(x=x, y=6)),
            recorded_terms=agreed,
        )
        result = recomputed(lying.prove_measured(), lying)
        assert result.count("differs") == 3
        assert "of the terms: recorded" in named(result.facilities[0])


def test_days_are_held_against_their_seals() -> None:
    own = measured_portfolio(forge=genuine)
    for facility_id in own.walk.facilities:
        own.seal_day(facility_id, USED_DAY)
    own.seal()
    proof = own.prove_measured()
    assert len(proof.seals) == 3
    result = recomputed(proof, own)
    assert [one.sealed_days for one in result.facilities] == [1, 1, 1]
    assert result.line.endswith("all equal")

    unused = quarter_at(USED_DAY, 23, 45)
    one = differing(recomputed(with_value(proof, unused, 1.5), own))
    assert "the seal of a day 2026-07-13" in named(one)


def test_a_day_that_was_sealed_in_an_earlier_time_zone_of_the_facility_is_not_compared() -> None:
    own = measured_portfolio(facilities=1)
    own.seal_day("fac-001", USED_DAY, ZoneInfo("America/New_York"))
    own.seal()
    result = recomputed(own.prove_measured(), own)
    assert result.line.endswith("all equal")
    assert [one.sealed_days for one in result.facilities] == [0]


def test_values_that_were_corrected_after_the_measurement_are_reported_and_not_compared() -> None:
    own = measured_portfolio()
    own.seal_day(FORGED, USED_DAY)
    store_quarters(own.walk.telemetry, FORGED, quarter_at(USED_DAY, 12, 15), [1.5])
    own.seal_day(FORGED, USED_DAY)
    own.seal()
    result = recomputed(own.prove_measured(), own)
    assert result.line == "recomputed 2 measurements of 3 facilities: all equal; 1 not recomputed"
    (one,) = [one for one in result.facilities if one.facility_id == FORGED]
    assert one.status == "not_recomputed"
    assert "readings were corrected since, and sealed again: 2026-07-13" in one.why


@pytest.mark.parametrize("sealed_before", [True, False])
def test_a_correction_of_readings_that_only_the_expected_error_used_is_no_difference(
    sealed_before: bool,
) -> None:
    """It is not measured again: the baseline used none of them."""
    unused_day = date(2026, 6, 24)
    own = measured_portfolio()
    if sealed_before:
        own.seal_day(FORGED, unused_day)
    store_quarters(own.walk.telemetry, FORGED, quarter_at(unused_day, 12, 15), [1.5])
    own.seal_day(FORGED, unused_day)
    own.seal()
    result = recomputed(own.prove_measured(), own)
    assert result.line == "recomputed 3 measurements of 3 facilities: all equal"
    (one,) = [one for one in result.facilities if one.facility_id == FORGED]
    assert any("1 were sealed since or are gone, 2026-06-24" in note for note in one.notes)


def test_another_expected_error_than_its_days_give_is_named() -> None:
    def better(figures: MeasurementFigures) -> MeasurementFigures:
        assert figures.expected_error is not None
        return replace(figures, expected_error=replace(figures.expected_error, bias=0.0))

    lying = forged(better)
    assert "expected_error: recorded" in named(differing(recomputed(lying.prove_measured(), lying)))


@pytest.mark.parametrize("sealed_since", [True, False])
def test_a_skipped_day_that_was_filled_later_is_reported_where_it_was_sealed_since(
    sealed_since: bool,
) -> None:
    """Too late to be measured again."""
    filled_day = date(2026, 7, 9)
    missing = quarter_at(filled_day, 12, 15)
    own = measured_portfolio(missing=(FORGED, missing))
    store_quarters(own.walk.telemetry, FORGED, missing, [650.0])
    if sealed_since:
        own.seal_day(FORGED, filled_day)
    own.seal()
    result = recomputed(own.prove_measured(), own)
    (one,) = [one for one in result.facilities if one.facility_id == FORGED]
    if sealed_since:
        assert one.status == "not_recomputed"
        assert "readings of its days that it skipped were corrected since" in one.why
        assert "2026-07-09 (position" in one.why
    else:
        assert "choice of day 2026-07-09: recorded skipped (missing_interval)" in named(differing(result))


def test_readings_that_retention_removed_are_reported_and_the_rest_is_checked() -> None:
    own = sealed()
    before = quarter_at(date(2026, 7, 7), 0).timestamp()
    own.walk.telemetry.imported = {
        key: values
        for key, values in own.walk.telemetry.imported.items()
        if key[0] != FORGED or key[1] >= before
    }
    result = recomputed(own.prove_measured(), own)
    assert result.line == "recomputed 2 measurements of 3 facilities: all equal; 1 not recomputed"
    assert "before 2026-07-07 07:00Z, are not stored any more" in result.facilities[1].why
    own.walk.telemetry.imported = {}
    result = recomputed(own.prove_measured(), own)
    assert result.line == "recomputed 0 measurements of 3 facilities: nothing to compare; 3 not recomputed"
    assert {one.why for one in result.facilities} == {"no readings of these days are stored any more"}


def test_readings_that_were_left_out_are_reported(portfolio: MeasuredPortfolio, proof: ProofDocument) -> None:
    left_out = tuple(replace(one, kw=(), coverage_pct=(), left_out=TOO_MANY) for one in proof.readings)
    result = recomputed(replace(proof, readings=left_out), portfolio)
    assert {one.why for one in result.facilities} == {TOO_MANY}
    result = recomputed(replace(proof, readings=()), portfolio)
    assert {one.why for one in result.facilities} == {"its readings are missing"}


def test_a_sealed_day_whose_readings_retention_removed_is_no_difference() -> None:
    """No measurement used it; the day after it is gone in part."""
    own = measured_portfolio()
    for day in (date(2026, 5, 30), date(2026, 5, 31), USED_DAY):
        own.seal_day(FORGED, day)
    own.seal()
    before = quarter_at(date(2026, 5, 31), 12).timestamp()
    own.walk.telemetry.imported = {
        key: values for key, values in own.walk.telemetry.imported.items() if key[1] >= before
    }
    proof = own.prove_measured()
    result = recomputed(proof, own)
    assert result.line == "recomputed 3 measurements of 3 facilities: all equal"
    (one,) = [one for one in result.facilities if one.facility_id == FORGED]
    assert [day.state for day in one.days if day.state != "not_sealed"] == ["gone", "gone", "sealed"]
    assert any(
        "2 sealed days, 2026-05-30 to 2026-05-31, are not stored any more" in note for note in one.notes
    )
    changed = with_value(proof, quarter_at(USED_DAY, 23, 45), 1.5)
    assert "the seal of a day 2026-07-13" in named(differing(recomputed(changed, own)))


@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "not in the file"])
def test_a_difference_is_shown_without_readings(left_out: bool) -> None:
    """The method, and a holiday of the region."""
    agreed = terms(BaselineTerms(method="high-4-of-5"), None)
    for lying, what in (
        (sealed(recorded_terms=agreed), "the method of the terms"),
        (sealed(region_holidays=REGION_HOLIDAYS - {INDEPENDENCE_DAY}), "holiday of US-CA 2026-07-03"),
    ):
        proof = lying.prove_measured()
        blank = [replace(one, kw=(), coverage_pct=(), left_out=TOO_MANY) for one in proof.readings]
        result = recomputed(replace(proof, readings=tuple(blank) if left_out else ()), lying)
        assert [one.status for one in result.facilities] == ["differs"] * 3
        assert what in named(result.facilities[0])
        assert result.facilities[0].recomputed is None


def test_values_that_are_gone_hide_no_day_that_is_not_what_was_sealed() -> None:
    own = measured_portfolio()
    own.seal_day(FORGED, USED_DAY)
    own.seal()
    before = quarter_at(date(2026, 7, 7), 0).timestamp()
    own.walk.telemetry.imported = {
        key: values for key, values in own.walk.telemetry.imported.items() if key[1] >= before
    }
    changed = with_value(own.prove_measured(), quarter_at(USED_DAY, 23, 45), 1.5)
    one = next(one for one in recomputed(changed, own).facilities if one.facility_id == FORGED)
    assert one.status == "differs"
    assert "are not stored any more" in one.why
    assert "the seal of a day 2026-07-13" in named(one)


@pytest.mark.parametrize(
    "changes",
    [
        {"facility_id": "fac-999"},
        {"tz": "UTC"},
        {"kw": (1.0,)},
        {"coverage_pct": ((100.0, 3),)},
        {"coverage_pct": ((100.0, -1), (100.0, 4_513))},
        {"temp_c": (20.0,)},
        {"left_out": TOO_MANY},
        {"kw": (), "coverage_pct": ()},
        {
            "kw": (),
            "coverage_pct": (),
            "left_out": "\nrecomputed 3 measurements of 3 facilities: all equal\x1b[8m",
        },
    ],
    ids=str,
)
def test_readings_of_another_form_are_refused(
    portfolio: MeasuredPortfolio, proof: ProofDocument, changes: dict[str, Any]
) -> None:
    first, *rest = proof.readings
    with pytest.raises(ProofBroken, match="readings of"):
        recomputed(replace(proof, readings=(replace(first, **changes), *rest)), portfolio)
    with pytest.raises(ProofBroken, match="readings of"):
        recomputed(replace(proof, readings=(first, first, *rest)), portfolio)


def test_a_seal_that_was_changed_or_is_of_something_else_is_refused() -> None:
    own = measured_portfolio()
    own.seal_day(FORGED, USED_DAY)
    own.seal()
    proof = own.prove_measured()
    (seal,) = proof.seals
    with pytest.raises(ProofBroken, match="is not what was sealed"):
        recomputed(replace(proof, seals=(replace(seal, state=seal.state.replace("96", "95")),)), own)
    with pytest.raises(ProofBroken, match="seals no readings of this proof"):
        recomputed(replace(proof, seals=proof.domain_events[:1]), own)


REGRESSION = BaselineTerms(method="regression", parameters=BaselineParameters(lookback_days=40))


@pytest.fixture(scope="module")
def by_regression() -> MeasuredPortfolio:
    return sealed(baseline=REGRESSION, facilities=1)


def test_a_regression_is_computed_again_from_its_coefficients_and_fitted_again(
    by_regression: MeasuredPortfolio,
) -> None:
    result = recomputed(by_regression.prove_measured(), by_regression)
    assert result.line == "recomputed 1 measurement of 1 facility: all equal"


def test_coefficients_that_its_readings_and_temperatures_do_not_give_are_named() -> None:
    """Also where every figure follows from them."""

    def steeper(_facility_id: str, figures: MeasurementFigures) -> MeasurementFigures:
        assert figures.regression is not None
        by_k = tuple(one + 5.0 for one in figures.regression.occupied_kw_per_k)
        return replace(figures, regression=replace(figures.regression, occupied_kw_per_k=by_k))

    lying = sealed(baseline=REGRESSION, forge=steeper, facilities=1)
    assert "coefficients of the regression" in named(differing(recomputed(lying.prove_measured(), lying)))


def test_a_temperature_of_the_window_that_was_changed_in_the_file_is_named(
    by_regression: MeasuredPortfolio,
) -> None:
    proof = by_regression.prove_measured()
    (own,) = proof.readings
    assert own.temp_c is not None
    nth = (quarter_at(date(2026, 7, 14), 11, 45) - own.starts_at) // timedelta(seconds=own.step_s)
    changed = replace(own, temp_c=(*own.temp_c[:nth], 40.0, *own.temp_c[nth + 1 :]))
    one = differing(recomputed(replace(proof, readings=(changed,)), by_regression))
    assert "temperature of 2026-07-14 18:45Z: recorded" in named(one)
    assert "recomputed 40.0" in named(one)


def test_a_regression_whose_training_was_corrected_since_is_reported() -> None:
    trained_day = date(2026, 6, 24)
    own = measured_portfolio(baseline=REGRESSION, facilities=1)
    own.seal_day("fac-001", trained_day)
    store_quarters(own.walk.telemetry, "fac-001", quarter_at(trained_day, 12, 15), [1.5])
    own.seal_day("fac-001", trained_day)
    own.seal()
    (one,) = recomputed(own.prove_measured(), own).facilities
    assert one.status == "not_recomputed"
    assert "readings of its training were corrected since" in one.why
    assert "2026-06-24 (position" in one.why

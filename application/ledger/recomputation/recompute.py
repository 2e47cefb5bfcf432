"""Recomputation of the measurements in a proof, from its terms, calendars and readings alone; pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from msgspec.structs import replace

from application.ledger.proof_check import CheckedProof
from application.ledger.proof_document import ProofBroken
from application.ledger.proof_measurements import ProvenMeasurement, measurements_in_force
from application.ledger.proof_readings import NOTHING_STORED, TOO_MANY, ProvenReadings
from application.ledger.proof_seals import CheckedDay, DaySealsOf, check_days, seals_of
from application.ledger.recomputation.differences import (
    FigureDifference,
    differences_between,
)
from application.ledger.recomputation.measurement import (
    measured_again,
    refit_differences,
    temperature_differences,
    unlike_days,
    unlike_values,
)
from application.ledger.recomputation.results import (
    Recomputation,
    RecomputedFacility,
    RecomputedSum,
    WindowFigures,
)
from application.ledger.recomputation.terms import (
    ProvenStreams,
    basis_by_terms,
    calendar_differences,
    level_note,
    proven_terms,
    term_differences,
)
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.delivered_over_window import delivered_over_window
from application.measurement.measure import readings_window
from application.ports.public_holidays import PublicHolidays
from application.ports.regression_fitter import RegressionFitter
from domain.dispatch import MeasurementFigures
from domain.dr_event import DREvent
from domain.time_series.windows import IntervalSeries, TimeWindow, local_date


class Installation(NamedTuple):
    """The calendars and the fitter that the one who checks has besides the file."""

    public_holidays: PublicHolidays
    fitter: RegressionFitter


def recompute(proof: CheckedProof, by: Installation) -> Recomputation:
    """Compute the measurements of a proof again. Raises ProofBroken for readings or seals of another form."""
    try:
        return _recompute(proof, by)
    except ProofBroken:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ProofBroken(f"its measurements cannot be computed again: {error}") from error


def _recompute(proof: CheckedProof, by: Installation) -> Recomputation:
    dispatches, proven = proof.named.dispatches, proof.document.readings
    measured = measurements_in_force(proof.rows, dispatches)
    readings = _readings_by_facility(proven, measured)
    seals = seals_of(proof.seals, proven)
    facilities = tuple(
        _recomputed(proof, measurement, readings.get(measurement.facility_id), seals, by)
        for measurement in measured
    )
    return Recomputation(
        facilities=facilities, dispatches=len(dispatches), total=_total(proof, measured, facilities)
    )


def _readings_by_facility(
    proven: Sequence[ProvenReadings], measured: Sequence[ProvenMeasurement]
) -> dict[str, ProvenReadings]:
    """The readings of each facility, of the days that its measurement looks at. Raises ProofBroken."""
    wanted = {entry.facility_id: entry.wanted() for entry in measured}
    readings: dict[str, ProvenReadings] = {}
    for entry in proven:
        window = wanted.get(entry.facility_id)
        if window is None or entry.facility_id in readings or not entry.is_of(window):
            raise ProofBroken(
                f"the readings of {entry.facility_id} are not those that its measurement looks at"
            )
        if entry.left_out not in {"", NOTHING_STORED, TOO_MANY} or bool(entry.left_out) == bool(entry.kw):
            raise ProofBroken(f"the readings of {entry.facility_id} are of another form")
        readings[entry.facility_id] = entry
    return readings


def _total(
    proof: CheckedProof,
    measured: Sequence[ProvenMeasurement],
    facilities: Sequence[RecomputedFacility],
) -> RecomputedSum | None:
    """The sum over the facilities; a figure that could not be computed again counts as it was recorded."""
    sums = [
        (row.position, row.domain_event.delivered_kw)
        for row in proof.own
        if isinstance(row.domain_event, DREvent.Measured | DREvent.Remeasured)
    ]
    if not sums or not any(one.recomputed for one in facilities):
        return None
    position, recorded_kw = sums[-1]
    if recorded_kw is None or position < max(one.position for one in measured):
        return None
    state = ProvenStreams(proof.rows, position).load(DREvent, proof.dr_event_id).state
    delivered = (
        delivered_over_window(state, one.dispatch, (again.recomputed or again.recorded).delivered_kw)
        for one, again in zip(measured, facilities, strict=True)
    )
    return RecomputedSum(position=position, recorded_kw=recorded_kw, recomputed_kw=fsum(delivered))


def _recomputed(
    proof: CheckedProof,
    measured: ProvenMeasurement,
    readings: ProvenReadings | None,
    seals: DaySealsOf,
    by: Installation,
) -> RecomputedFacility:
    figures, window = measured.figures, measured.window
    result = RecomputedFacility(
        facility_id=measured.facility_id,
        status="not_recomputed",
        method=figures.baseline_method,
        position=measured.position,
        domain_event_id=measured.domain_event_id,
        recorded=WindowFigures.of(figures),
    )
    terms = proven_terms(proof, measured)
    if terms.agreed is None:
        return replace(
            result, status="differs", differences=(FigureDifference(what="terms", recorded=terms.why),)
        )
    basis = basis_by_terms(figures, terms.agreed)
    differences, notes = _by_terms(figures, window, terms.agreed, by.public_holidays)
    if readings is None or readings.left_out:
        why = "its readings are missing" if readings is None else readings.left_out
        return _not_recomputed(replace(result, notes=notes), why, differences)
    try:
        values = readings.values()
        days = tuple(check_days(readings, seals, measured.position))
        used = readings_window(window, basis.look_back_days)
        metered = IntervalSeries(used.starts_at, readings.step_s, values.kw.slice(used))
    except ValueError as error:
        raise ProofBroken(f"the readings of {measured.facility_id} cannot be read: {error}") from error
    differences += _of_seals(days)
    result = replace(result, notes=notes + _notes_of_days(days), days=days)
    again = measured_again(measured, metered, basis)
    if why := unlike_values(figures, metered, basis.tz, days):
        return _not_recomputed(result, why, differences)
    if isinstance(again, str):
        return replace(result, status="differs", differences=(*differences, FigureDifference(what=again)))
    today = local_date(window.starts_at, basis.tz)
    changed = [day for day in days if day.may_have_changed and day.day < today]
    if why := unlike_days(figures, again, metered, basis.tz, changed):
        return _not_recomputed(result, why, differences)
    if changed and figures.expected_error is not None:
        result = replace(result, notes=(*result.notes, _note_of_error(changed)))
    differences += temperature_differences(figures, window, values)
    differences += refit_differences(measured, metered, values, basis, by.fitter)
    differences += differences_between(figures, again, metered, basis.tz, with_expected_error=not changed)
    return replace(
        result,
        status="differs" if differences else "equal",
        recomputed=WindowFigures.of(again),
        figures=again,
        differences=differences,
    )


def _by_terms(
    figures: MeasurementFigures, window: TimeWindow, agreed: AgreedBaseline, public: PublicHolidays
) -> tuple[tuple[FigureDifference, ...], tuple[str, ...]]:
    """The differences from the terms and the calendar, and notes; it takes no readings."""
    differences, notes = term_differences(figures, agreed), level_note(figures, agreed)
    if agreed.holidays is None:
        by_calendar, told = calendar_differences(figures, window, public)
        differences, notes = differences + by_calendar, notes + told
    return differences, notes


def _not_recomputed(
    result: RecomputedFacility, why: str, differences: tuple[FigureDifference, ...]
) -> RecomputedFacility:
    """The result; figures that differ without being computed again differ all the same."""
    return replace(
        result, status="differs" if differences else "not_recomputed", why=why, differences=differences
    )


def _note_of_error(changed: Sequence[CheckedDay]) -> str:
    return (
        "the expected error is as it was recorded: of the days that it may be computed from, "
        f"{len(changed)} were sealed since or are gone, {changed[0].day} to {changed[-1].day}"
    )


def _notes_of_days(days: Sequence[CheckedDay]) -> tuple[str, ...]:
    notes = []
    if sealed := sum(day.temperatures_sealed for day in days):
        notes.append(f"temperatures of {sealed} days are sealed")
    if gone := [day.day for day in days if day.state == "gone"]:
        notes.append(
            f"readings of {len(gone)} sealed days, {gone[0]} to {gone[-1]}, are not stored any more: not held against "
            "their seals"
        )
    return tuple(notes)


def _of_seals(days: Sequence[CheckedDay]) -> tuple[FigureDifference, ...]:
    return tuple(
        FigureDifference(
            what="the seal of a day",
            where=day.day.isoformat(),
            recorded=f"position {day.position}",
            recomputed="the values in the file have another digest",
        )
        for day in days
        if day.state == "differs"
    )

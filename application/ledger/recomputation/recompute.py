"""Recomputation of the measurements in a proof, from its terms, calendars and readings alone; pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from msgspec.structs import replace

from application.ledger.proof_check import named_streams
from application.ledger.proof_document import ProofBroken, ProofDocumentV3
from application.ledger.proof_measurements import ProvenMeasurement, decoded_row, measurements_in_force
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
from domain.ledger.entries import LogRow
from domain.time_series.windows import IntervalSeries, TimeWindow, local_date


class Installation(NamedTuple):
    """What the one who checks has besides the file."""

    public_holidays: PublicHolidays
    fitter: RegressionFitter


def recompute(document: ProofDocumentV3, by: Installation) -> Recomputation:
    """Of a document that was checked. Raises ProofBroken for readings or seals of another form."""
    try:
        return _recompute(document, by)
    except ProofBroken:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ProofBroken(f"its measurements cannot be computed again: {error}") from error


def _recompute(document: ProofDocumentV3, by: Installation) -> Recomputation:
    rows = [row.row() for row in document.domain_events]
    own = [row for row in rows if row.originator_id == document.dr_event_id]
    dispatches = named_streams(document.dr_event_id, own).dispatches
    measured = measurements_in_force(rows, dispatches)
    readings = _readings_by_facility(document, measured)
    seals = seals_of((row.row() for row in document.seals), document.readings)
    facilities = tuple(
        _recomputed(document, one, readings.get(one.facility_id), seals, by) for one in measured
    )
    return Recomputation(
        facilities=facilities, dispatches=len(dispatches), total=_total(document, own, measured, facilities)
    )


def _readings_by_facility(
    document: ProofDocumentV3, measured: Sequence[ProvenMeasurement]
) -> dict[str, ProvenReadings]:
    """Each is of the days that its measurement looks at. Raises ProofBroken."""
    wanted = {one.facility_id: one.wanted() for one in measured}
    readings: dict[str, ProvenReadings] = {}
    for one in document.readings:
        window = wanted.get(one.facility_id)
        if window is None or one.facility_id in readings or not one.is_of(window):
            raise ProofBroken(
                f"the readings of {one.facility_id} are not those that its measurement looks at"
            )
        if one.left_out not in {"", NOTHING_STORED, TOO_MANY} or bool(one.left_out) == bool(one.kw):
            raise ProofBroken(f"the readings of {one.facility_id} are of another form")
        readings[one.facility_id] = one
    return readings


def _total(
    document: ProofDocumentV3,
    own: Sequence[LogRow],
    measured: Sequence[ProvenMeasurement],
    facilities: Sequence[RecomputedFacility],
) -> RecomputedSum | None:
    """What could not be computed again counts as it was recorded."""
    sums = [
        (row.position, found.delivered_kw)
        for row in own
        if isinstance(found := decoded_row(row), DREvent.Measured | DREvent.Remeasured)
    ]
    if not sums or not any(one.recomputed for one in facilities):
        return None
    position, recorded_kw = sums[-1]
    if recorded_kw is None or position < max(one.position for one in measured):
        return None
    state = ProvenStreams(document.domain_events, position).load(DREvent, document.dr_event_id).state
    delivered = (
        delivered_over_window(state, one.dispatch, (again.recomputed or again.recorded).delivered_kw)
        for one, again in zip(measured, facilities, strict=True)
    )
    return RecomputedSum(position=position, recorded_kw=recorded_kw, recomputed_kw=fsum(delivered))


def _recomputed(
    document: ProofDocumentV3,
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
    if window is None:
        return replace(
            result, why="it was recorded in version 1, without its calendar, so it cannot be computed again"
        )
    terms = proven_terms(document, measured)
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
    found = measured_again(measured, metered, basis)
    if why := unlike_values(figures, metered, basis.tz, days):
        return _not_recomputed(result, why, differences)
    if isinstance(found, str):
        return replace(result, status="differs", differences=(*differences, FigureDifference(what=found)))
    today = local_date(window.starts_at, basis.tz)
    changed = [day for day in days if day.may_have_changed and day.day < today]
    if why := unlike_days(figures, found, metered, basis.tz, changed):
        return _not_recomputed(result, why, differences)
    if changed and figures.expected_error is not None:
        result = replace(result, notes=(*result.notes, _note_of_error(changed)))
    differences += temperature_differences(figures, window, values)
    differences += refit_differences(measured, metered, values, basis, by.fitter)
    differences += differences_between(figures, found, metered, basis.tz, with_expected_error=not changed)
    return replace(
        result,
        status="differs" if differences else "equal",
        recomputed=WindowFigures.of(found),
        figures=found,
        differences=differences,
    )


def _by_terms(
    figures: MeasurementFigures, window: TimeWindow, agreed: AgreedBaseline, public: PublicHolidays
) -> tuple[tuple[FigureDifference, ...], tuple[str, ...]]:
    """What differs from the terms and the calendar, and notes; it takes no readings."""
    differences, notes = term_differences(figures, agreed), level_note(figures, agreed)
    if agreed.holidays is None:
        by_calendar, told = calendar_differences(figures, window, public)
        differences, notes = differences + by_calendar, notes + told
    return differences, notes


def _not_recomputed(
    result: RecomputedFacility, why: str, differences: tuple[FigureDifference, ...]
) -> RecomputedFacility:
    """What differs without being computed again differs all the same."""
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

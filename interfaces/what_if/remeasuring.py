"""Measures a DR event again with another baseline, on the present readings; nothing is recorded.

A measurement records the load that its own method used and its digest; another method needs other days and hours. When
the digest differs, readings were added or corrected since.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.basis import MeasuringBasis, basis_of, recorded_basis
from application.measurement.measure import (
    TEMPERATURES_UNTIL,
    Measurement,
    measured_window,
    measurement_of,
    readings_window,
)
from application.measurement.regression_source import RegressionSource, inputs_of
from application.ports.public_holidays import PublicHolidays
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import DispatchState, MeasurementFigures
from domain.event_sourcing.aggregate import state_after
from domain.facility import FacilityState
from domain.identifiers import dispatch_id, facility_stream_id
from domain.program import BaselineTerms, with_own_level
from projections.as_of.measurement_history import measurement_in_force
from projections.as_of.what_if import RemeasuredResult
from projections.audit.replay import AuditDocument
from projections.audit.stream_log import StreamLog


@dataclass(frozen=True)
class MeasuringSources:
    """The sources of a measurement, besides the log."""

    telemetry: TelemetryStore
    public_holidays: PublicHolidays
    regression: RegressionSource | None = None
    """None: `regression` cannot be computed here."""


class MeasuredAgain(NamedTuple):
    """A facility by another baseline, on the present readings."""

    figures: MeasurementFigures | None
    """None: not measurable, for the reason `why`."""
    why: str | None
    same_readings: bool | None
    """As in `RemeasuredResult`."""
    readings_gone: bool = False
    """Readings that the recorded measurement used are not stored any more."""

    @property
    def result(self) -> RemeasuredResult:
        return RemeasuredResult(
            delivered_kw=None if self.figures is None else self.figures.delivered_kw,
            why=self.why,
            same_readings=self.same_readings,
        )


def measured_again(
    baseline: BaselineTerms,
    document: AuditDocument,
    log: StreamLog,
    sources: MeasuringSources,
    *,
    on_facility: Callable[[], None] = lambda: None,
) -> dict[str, MeasuredAgain]:
    """Facility -> its measurement by `baseline`, for every facility that was curtailed.

    Raises StreamLogUnavailable, TelemetryStoreUnavailable or, for the temperatures of a regression,
    OperationsUnavailable.
    """
    found = {}
    for state in document.dispatches.values():
        if was_curtailed(state):
            found[state.facility_id] = _measured_again(state, baseline, document, log, sources)
            on_facility()
    return found


def was_curtailed(dispatch: DispatchState) -> bool:
    """True if there is, or might be, a measurement of it."""
    return dispatch.was_committed and (dispatch.failure is None or dispatch.measured_load is not None)


def _measured_again(
    dispatch: DispatchState,
    baseline: BaselineTerms,
    document: AuditDocument,
    log: StreamLog,
    sources: MeasuringSources,
) -> MeasuredAgain:
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return MeasuredAgain(None, "the window holds no whole quarter-hour", None)
    facility = _facility(dispatch.facility_id, document, log)
    stream = dispatch_id(dispatch.dr_event_id, dispatch.facility_id)
    figures = measurement_in_force(log, stream, document.position)
    recorded = None if figures is None else recorded_basis(figures)
    telemetry = sources.telemetry

    def again(by: MeasuringBasis) -> Measurement | None:
        ids = [dispatch.facility_id]
        block = telemetry.interval_series_of(ids, readings_window(window, by.look_back_days))
        return measurement_of(
            dispatch,
            block.series(dispatch.facility_id),
            by,
            now=dispatch.ends_at + TEMPERATURES_UNTIL,
            inputs=inputs_of(sources.regression, by, block, facility),
        )

    agreed = AgreedBaseline(
        program_id=document.dr_event.judged_notice.program_id,
        method=baseline.method,
        parameters=baseline.parameters,
    )
    basis = _basis_by(
        agreed, recorded or basis_of(facility, agreed, dispatch, sources.public_holidays), facility
    )
    same, is_gone = _recorded_readings(figures, again, sources)
    measured = again(basis)
    if measured is None or isinstance(measured, RecordNotMeasurable):
        return MeasuredAgain(None, measured.reason if measured else None, same, is_gone)
    return MeasuredAgain(measured.figures, None, same, is_gone or _lost_steps(figures, measured.figures))


def _basis_by(agreed: AgreedBaseline, basis: MeasuringBasis, facility: FacilityState) -> MeasuringBasis:
    """`basis` with another baseline; the facility's own firm level goes before that of the baseline."""
    enrolment = facility.enrolments.get(agreed.program_id)
    own_level_kw = None if enrolment is None else enrolment.level_kw
    parameters = with_own_level(agreed.parameters, own_level_kw)
    return replace(basis, baseline_method=agreed.method, parameters=parameters)


def _recorded_readings(
    figures: MeasurementFigures | None,
    again: Callable[[MeasuringBasis], Measurement | None],
    sources: MeasuringSources,
) -> tuple[bool | None, bool]:
    """True if the recorded measurement used these readings (None: nothing is recorded, or it cannot be told), and
    whether some of them are gone."""
    if figures is None or (figures.baseline_method == "regression" and sources.regression is None):
        return None, False
    found = again(recorded_basis(figures))
    if not isinstance(found, RecordMeasurement):
        return False, True
    return found.figures.data_hash == figures.data_hash, _lost_steps(figures, found.figures)


def _lost_steps(recorded: MeasurementFigures | None, now: MeasurementFigures) -> bool:
    """True if an interval of the window was metered then, and is not now."""
    if recorded is None:
        return False
    unknown = {one.starts_at for one in now.intervals if one.metered_kw is None}
    return any(one.metered_kw is not None and one.starts_at in unknown for one in recorded.intervals)


def _facility(facility_id: str, document: AuditDocument, log: StreamLog) -> FacilityState:
    """The state of the facility at the position of the document."""
    entries = log.entries_of([facility_stream_id(facility_id)])
    known = (entry.domain_event for entry in entries if entry.position <= document.position)
    state: FacilityState | None = reduce(state_after, known, None)
    if state is None:
        raise LookupError(f"facility {facility_id} of a dispatch is not in the log")
    return state

"""Measures a DR event again with another baseline, on the present readings; nothing is recorded.

A measurement records the load that its own method used and its digest; another method needs other days and hours. When
the digest differs, readings were added or corrected since. One that is recorded in version 1 has the digest of the
whole look-back, or of what was used (from this release, before `migrate --contract 0.2`), and does not say which.
"""

from collections.abc import Callable

from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.basis import LOOK_BACK_DAYS, MeasuringBasis, basis_of, recorded_basis
from application.measurement.measure import (
    TEMPERATURES_UNTIL,
    Measurement,
    measured_window,
    measurement_of,
    readings_window,
    whole_data_hash,
)
from application.measurement.regression_source import RegressionSource, inputs_of
from application.ports.public_holidays import PublicHolidays
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import DispatchState
from domain.facility import Facility, FacilityState
from domain.identifiers import dispatch_id, facility_stream_id
from projections.as_of.measurement_history import measurement_in_force
from projections.as_of.what_if import RemeasuredResult
from projections.audit.replay import AuditDocument
from projections.audit.stream_log import StreamLog


def remeasured_by(
    method: str,
    document: AuditDocument,
    log: StreamLog,
    telemetry: TelemetryStore,
    *,
    public_holidays: PublicHolidays,
    regression: RegressionSource | None = None,
) -> dict[str, RemeasuredResult]:
    """Facility -> its result by `method`, for every facility that was curtailed.

    Raises StreamLogUnavailable, TelemetryStoreUnavailable or, for the temperatures of a regression,
    OperationsUnavailable.
    """
    ran = [state for state in document.dispatches.values() if state.was_committed and state.failure is None]
    return {
        state.facility_id: _remeasured(
            state,
            method,
            document,
            log,
            telemetry,
            public_holidays=public_holidays,
            regression=regression,
        )
        for state in ran
    }


def _remeasured(
    dispatch: DispatchState,
    method: str,
    document: AuditDocument,
    log: StreamLog,
    telemetry: TelemetryStore,
    *,
    public_holidays: PublicHolidays,
    regression: RegressionSource | None,
) -> RemeasuredResult:
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return RemeasuredResult(delivered_kw=None, why="the window holds no whole quarter-hour")
    facility = _facility(dispatch.facility_id, document, log)
    stream = dispatch_id(dispatch.dr_event_id, dispatch.facility_id)
    figures = measurement_in_force(log, stream, document.position)
    recorded = None if figures is None else recorded_basis(figures)
    agreed = AgreedBaseline(method=method)
    basis = basis_of(facility, agreed, dispatch, public_holidays)
    if recorded is not None:
        basis = replace(recorded, baseline_method=method, parameters=agreed.parameters)

    def again(by: MeasuringBasis) -> Measurement | None:
        ids = [dispatch.facility_id]
        block = telemetry.interval_series_of(ids, readings_window(window, by.look_back_days))
        return measurement_of(
            dispatch,
            block.series(dispatch.facility_id),
            by,
            now=dispatch.ends_at + TEMPERATURES_UNTIL,
            inputs=inputs_of(regression, by, block, facility),
        )

    same = _same_readings(dispatch, recorded, again, telemetry)
    measured = again(basis)
    if measured is None or isinstance(measured, RecordNotMeasurable):
        return RemeasuredResult(
            delivered_kw=None, why=measured.reason if measured else None, same_readings=same
        )
    return RemeasuredResult(delivered_kw=measured.figures.delivered_kw, same_readings=same)


def _same_readings(
    dispatch: DispatchState,
    recorded: MeasuringBasis | None,
    again: Callable[[MeasuringBasis], Measurement | None],
    telemetry: TelemetryStore,
) -> bool | None:
    """Whether the recorded measurement used these readings; None: nothing is recorded, or it cannot be told."""
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if dispatch.data_hash is None or window is None:
        return None
    if recorded is None:
        metered = telemetry.interval_series(dispatch.facility_id, readings_window(window, LOOK_BACK_DAYS))
        return True if dispatch.data_hash == whole_data_hash(metered) else None
    found = again(recorded)
    return isinstance(found, RecordMeasurement) and found.figures.data_hash == dispatch.data_hash


def _facility(facility_id: str, document: AuditDocument, log: StreamLog) -> FacilityState:
    """The state of the facility at the position of the document."""
    state: FacilityState | None = None
    for entry in log.entries_of([facility_stream_id(facility_id)]):
        happened = entry.domain_event
        if entry.position > document.position:
            break
        match happened:
            case Facility.Registered():
                state = happened.initial_state()
            case _:
                state = happened.evolve(state)
    if state is None:
        raise LookupError(f"facility {facility_id} of a dispatch is not in the log")
    return state

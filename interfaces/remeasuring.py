"""Measures a DR event again with another baseline, on the present readings; nothing is recorded.

For a measurement the log holds the intervals of the window and a hash of the readings used, not the days before, which
another baseline needs. When the hash differs, readings were added or corrected since.
"""

from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.basis import MeasuringBasis, basis_of, recorded_basis
from application.measurement.measure import (
    GIVE_UP_AFTER,
    measured_window,
    measurement_of,
    readings_window,
    whole_data_hash,
)
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import DispatchState
from domain.facility import Facility, FacilityState
from domain.identifiers import dispatch_id, facility_stream_id
from domain.time_series.windows import IntervalSeries
from projections.as_of.dr_event import measurement_in_force
from projections.as_of.what_if import RemeasuredResult
from projections.audit.replay import AuditDocument
from projections.audit.stream_log import StreamLog


def remeasured_by(
    method: str, document: AuditDocument, log: StreamLog, telemetry: TelemetryStore
) -> dict[str, RemeasuredResult]:
    """Facility -> its result by `method`, for every facility that was curtailed.

    Raises StreamLogUnavailable or TelemetryStoreUnavailable.
    """
    ran = [state for state in document.dispatches.values() if state.was_committed and state.failure is None]
    return {state.facility_id: _remeasured(state, method, document, log, telemetry) for state in ran}


def _remeasured(
    dispatch: DispatchState, method: str, document: AuditDocument, log: StreamLog, telemetry: TelemetryStore
) -> RemeasuredResult:
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return RemeasuredResult(delivered_kw=None, why="the window holds no whole quarter-hour")
    metered = telemetry.interval_series(dispatch.facility_id, readings_window(window))
    stream = dispatch_id(dispatch.dr_event_id, dispatch.facility_id)
    figures = measurement_in_force(log, stream, document.position)
    recorded = None if figures is None else recorded_basis(figures)
    same = _same_readings(dispatch, recorded, metered)
    agreed = AgreedBaseline(method=method)
    basis = basis_of(_facility(dispatch.facility_id, document, log), agreed, dispatch)
    if recorded is not None:
        basis = replace(recorded, baseline_method=method, parameters=agreed.parameters)
    measured = measurement_of(dispatch, metered, basis, now=dispatch.ends_at + GIVE_UP_AFTER)
    if measured is None or isinstance(measured, RecordNotMeasurable):
        return RemeasuredResult(
            delivered_kw=None, why=measured.reason if measured else None, same_readings=same
        )
    return RemeasuredResult(delivered_kw=measured.figures.delivered_kw, same_readings=same)


def _same_readings(
    dispatch: DispatchState, recorded: MeasuringBasis | None, metered: IntervalSeries
) -> bool | None:
    """Whether the recorded measurement used these readings; None: nothing is recorded."""
    if dispatch.data_hash is None:
        return None
    if recorded is None:
        return dispatch.data_hash == whole_data_hash(metered)
    again = measurement_of(dispatch, metered, recorded, now=dispatch.ends_at + GIVE_UP_AFTER)
    return isinstance(again, RecordMeasurement) and again.figures.data_hash == dispatch.data_hash


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

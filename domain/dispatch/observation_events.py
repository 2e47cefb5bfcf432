"""Domain events that record what a BMS or a meter shows of a dispatch. Used as `Dispatch.<Name>`."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar

from msgspec.structs import replace

from domain.dispatch.event_base import Event
from domain.dispatch.measured_load import MeasuredLoad
from domain.dispatch.measurement_figures import MeasurementFigures
from domain.dispatch.state import DispatchState, Setpoint


class VerifiedByBms(Event, frozen=True, kw_only=True):
    """The BMS reports for every zone that the command is in force."""

    TOPIC: ClassVar[str] = "dispatch.verified-by-bms.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_bms")


class DriftDetected(Event, frozen=True, kw_only=True):
    """A zone's state differs from the commanded state."""

    TOPIC: ClassVar[str] = "dispatch.drift-found.v1"
    zone_id: str
    found: Setpoint
    curtailed: bool

    def evolve(self, state: DispatchState) -> DispatchState:
        if self.curtailed:
            return state
        # Its equipment ran again: it must stay off for the minimum time from now on.
        return replace(state, curtailed_at={**state.curtailed_at, self.zone_id: self.recorded_at})


class VerifiedByMeter(Event, frozen=True, kw_only=True):
    """The meter confirms the load reduction."""

    TOPIC: ClassVar[str] = "dispatch.verified-by-meter.v1"
    delivered_kw: float
    measured_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_meter")


class Measured(Event, frozen=True, kw_only=True):
    """The measurement of the window: baseline minus metered load, mean kW."""

    TOPIC: ClassVar[str] = "dispatch.measured.v2"
    figures: MeasurementFigures

    def evolve(self, state: DispatchState) -> DispatchState:
        return _measured(state, self)


class Remeasured(Event, frozen=True, kw_only=True):
    """A new measurement beside the earlier one, which stays in the log."""

    TOPIC: ClassVar[str] = "dispatch.remeasured.v2"
    revision: int
    """The revision of the measurement; 2 is the first that replaces another."""
    corrected_at: datetime
    """The time of the newest correction of readings that caused this measurement."""
    previous_kw: float | None
    """The delivered power by the replaced measurement; None: it was not measurable."""
    reason: str
    """What changed."""
    figures: MeasurementFigures

    def evolve(self, state: DispatchState) -> DispatchState:
        return _measured(state, self)


class NotMeasurable(Event, frozen=True, kw_only=True):
    """The readings do not suffice for a measurement."""

    TOPIC: ClassVar[str] = "dispatch.not-measurable.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(
            state,
            measured=True,
            measurements=state.measurements + 1,
            not_measurable_reason=self.reason,
        )


class MeasurementWithdrawn(Event, frozen=True, kw_only=True):
    """Corrected readings no longer suffice for a measurement; the earlier one is void."""

    TOPIC: ClassVar[str] = "dispatch.measurement-withdrawn.v1"
    revision: int
    corrected_at: datetime
    previous_kw: float
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(
            state,
            delivered_kw=None,
            measured_load=None,
            data_hash=None,
            measurements=self.revision,
            not_measurable_reason=self.reason,
        )


def _measured(state: DispatchState, measured: Measured | Remeasured) -> DispatchState:
    figures = measured.figures
    return replace(
        state,
        measured=True,
        measurements=state.measurements + 1,
        delivered_kw=figures.delivered_kw,
        measured_load=_load(measured),
        data_hash=figures.data_hash,
        baseline_parameters=figures.parameters,
        not_measurable_reason=None,
    )


def _load(measured: Measured | Remeasured) -> MeasuredLoad | None:
    figures = measured.figures
    if not (intervals := figures.intervals):
        return None
    return MeasuredLoad(
        starts_at=intervals[0].starts_at,
        adjusted_kw=tuple(one.adjusted_kw for one in intervals),
        metered_kw=tuple(one.metered_kw for one in intervals),
        method=figures.baseline_method,
        days=tuple(date.fromisoformat(day) for day in figures.days_used),
        days_considered=len(figures.days),
        adjustment=figures.adjustment,
        tz=figures.tz,
        dr_event_days=figures.dr_event_days,
        holidays=figures.holidays,
        domain_event_id=measured.domain_event_id,
    )

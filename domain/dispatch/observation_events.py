"""What is seen of a dispatch by its BMS and its meter, and how it evolves the state. Written as `Dispatch.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec.structs import replace

from domain.dispatch.event_base import Event
from domain.dispatch.state import DispatchState, Interval, Setpoint


class VerifiedByBms(Event, frozen=True, kw_only=True):
    """Every zone's own state says that the command is in force."""

    TOPIC: ClassVar[str] = "dispatch.verified-by-bms.v1"

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_bms")


class DriftFound(Event, frozen=True, kw_only=True):
    """A zone's state differs from what was commanded."""

    TOPIC: ClassVar[str] = "dispatch.drift-found.v1"
    zone_id: str
    found: Setpoint
    curtailed: bool


class VerifiedByMeter(Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.verified-by-meter.v1"
    delivered_kw: float
    measured_at: datetime

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, status="verified_by_meter")


class Measured(Event, frozen=True, kw_only=True):
    """Baseline minus meter over the window; mean kW."""

    TOPIC: ClassVar[str] = "dispatch.measured.v1"
    baseline_method: str
    days: tuple[str, ...]
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_clipped: bool
    intervals: tuple[Interval, ...]
    coverage_pct: float
    delivered_kw: float
    data_hash: str
    figures_hash: str | None = None
    """Two measurements with the same one say the same. None: recorded before it was taken down."""

    def evolve(self, state: DispatchState) -> DispatchState:
        return _measured(state, self)


class Remeasured(Event, frozen=True, kw_only=True):
    """Measured once more, on readings that came or were corrected since; what was measured before stays recorded."""

    TOPIC: ClassVar[str] = "dispatch.remeasured.v1"
    revision: int
    """Of the measurement: 2 is the first that replaces another."""
    corrected_at: datetime
    """Of the newest correction that it was asked for."""
    previous_kw: float | None
    """What was delivered by the measurement that it replaces; None: it was not measurable."""
    baseline_method: str
    days: tuple[str, ...]
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_clipped: bool
    intervals: tuple[Interval, ...]
    coverage_pct: float
    delivered_kw: float
    data_hash: str
    figures_hash: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return _measured(state, self)


class NotMeasurable(Event, frozen=True, kw_only=True):
    """The readings do not suffice for a measurement; nothing is guessed."""

    TOPIC: ClassVar[str] = "dispatch.not-measurable.v1"
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(state, measured=True, measurements=state.measurements + 1)


class MeasurementWithdrawn(Event, frozen=True, kw_only=True):
    """Corrected readings do not suffice for a measurement any more: what was measured does not hold."""

    TOPIC: ClassVar[str] = "dispatch.measurement-withdrawn.v1"
    revision: int
    corrected_at: datetime
    previous_kw: float
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        return replace(
            state, delivered_kw=None, data_hash=None, figures_hash=None, measurements=self.revision
        )


def _measured(state: DispatchState, said: Measured | Remeasured) -> DispatchState:
    return replace(
        state,
        measured=True,
        measurements=state.measurements + 1,
        delivered_kw=said.delivered_kw,
        data_hash=said.data_hash,
        figures_hash=said.figures_hash,
    )

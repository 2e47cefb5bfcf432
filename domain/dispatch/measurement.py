"""Mixin of `Dispatch` for measurements: the delivered power, later corrections, and their time limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch import observation_events
from domain.dispatch.measurement_figures import MeasurementFigures
from domain.dispatch.mixin_base import DispatchMixin
from domain.errors import MeasurementClosed, NotAllowedNow
from domain.event_sourcing.aggregate import Provenance

MEASURED_WITHIN = timedelta(hours=76)
"""For this long after the end, the first measurement may wait for what it needs."""
REMEASURED_FOR = timedelta(days=60)
"""For this long after the end, late and corrected readings change the measurement.

It is less than the 90 days for which single readings are kept, so that the readings behind a new measurement
exist.
"""


class Measurement(DispatchMixin):
    """The part of `Dispatch` that records measurements."""

    def measure(self, provenance: Provenance, *, figures: MeasurementFigures) -> None:
        """Record the first measurement; later calls record nothing. Corrections use `remeasure`."""
        if self.state.measured:
            return
        if not self.state.was_committed:
            raise NotAllowedNow(f"{self.state.facility_id} was never committed: there is nothing to measure")
        self.record(observation_events.Measured, provenance, figures=figures)

    def not_measurable(self, provenance: Provenance, *, reason: str) -> None:
        """Record that the readings do not allow a measurement."""
        if not self.state.measured:
            self.record(observation_events.NotMeasurable, provenance, reason=reason)

    def remeasure(
        self,
        provenance: Provenance,
        *,
        corrected_at: datetime,
        reason: str,
        figures: MeasurementFigures,
    ) -> None:
        """Record a measurement from corrected readings beside the earlier one. Nothing is recorded if it used the
        same readings, or has the same figures as one that does not tell which readings it used (version 1).

        Raises MeasurementClosed, or NotAllowedNow before the first measurement.
        """
        state = self.state
        same_figures = figures.figures_hash == state.figures_hash and not state.holidays_of
        if same_figures or figures.data_hash == state.data_hash:
            return
        self._require_open(provenance)
        self.record(
            observation_events.Remeasured,
            provenance,
            revision=state.measurements + 1,
            corrected_at=corrected_at,
            previous_kw=state.delivered_kw,
            reason=reason,
            figures=figures,
        )

    def withdraw_measurement(self, provenance: Provenance, *, corrected_at: datetime, reason: str) -> None:
        """Record that corrected readings no longer allow a measurement; without one, nothing is recorded."""
        self._require_open(provenance)
        if self.state.delivered_kw is None:
            return
        self.record(
            observation_events.MeasurementWithdrawn,
            provenance,
            revision=self.state.measurements + 1,
            corrected_at=corrected_at,
            previous_kw=self.state.delivered_kw,
            reason=reason,
        )

    def _require_open(self, provenance: Provenance) -> None:
        state = self.state
        if not state.measured or not state.was_committed:
            raise NotAllowedNow(f"{state.facility_id} was not measured yet: there is nothing to correct")
        if provenance.recorded_at > state.ends_at + REMEASURED_FOR:
            raise MeasurementClosed(
                f"what {state.facility_id} delivered until {state.ends_at:%Y-%m-%d %H:%M} is final since "
                f"{state.ends_at + REMEASURED_FOR:%Y-%m-%d %H:%M}"
            )

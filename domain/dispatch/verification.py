"""Mixin of `Dispatch` for verification: zone states reported by the BMS, drift, and confirmation by the
meter.
"""

from __future__ import annotations

from datetime import datetime

from domain.dispatch import amendment, observation_events
from domain.dispatch.mixin_base import DispatchMixin
from domain.dispatch.state import Setpoint
from domain.event_sourcing.aggregate import Provenance


class Verification(DispatchMixin):
    """The part of `Dispatch` that compares observations with commands."""

    def verify_by_bms(self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]]) -> None:
        """Compare each curtailed zone's (setpoint, curtailed) with the command.

        The dispatch is verified once every commanded zone was read. A zone without room under its comfort
        limit was never commanded.
        """
        if self.state.status != "committed" or self.state.left is not None:
            return
        commanded = sorted(self.state.curtailed_at)
        drifted = [zone_id for zone_id in commanded if zone_id in states and not states[zone_id][1]]
        for zone_id in drifted:
            found, curtailed = states[zone_id]
            self.record(
                observation_events.DriftDetected,
                provenance,
                zone_id=zone_id,
                found=found,
                curtailed=curtailed,
            )
        if not drifted and all(zone_id in states for zone_id in commanded):
            self.record(observation_events.VerifiedByBms, provenance)

    def reconcile(
        self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]], not_after: datetime
    ) -> tuple[str, ...]:
        """Record and correct drift, and align the building with the plan; returns the zones that drifted.

        A building that was not verified after its commit, because that check was lost or not answered, is verified
        by this one.
        """
        drifted = tuple(amendment.drifted_zones(self.state, states))
        if not drifted and not self.state.has_open_command:
            self.verify_by_bms(provenance, states=states)
        self._record_all(provenance, amendment.drift_corrections(self.state, states, not_after=not_after))
        self._record_all(provenance, amendment.align_events(self.state, not_after=not_after))
        return drifted

    def verify_by_meter(self, provenance: Provenance, *, delivered_kw: float, measured_at: datetime) -> None:
        """Record that the meter confirms the load reduction."""
        if self.state.status in {"committed", "verified_by_bms"} and self.state.left is None:
            self.record(
                observation_events.VerifiedByMeter,
                provenance,
                delivered_kw=delivered_kw,
                measured_at=measured_at,
            )

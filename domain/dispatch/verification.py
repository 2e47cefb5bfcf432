"""What is seen of a dispatch: its BMS's own states, drift, and what its meter confirms; a part of `Dispatch`."""

from __future__ import annotations

from datetime import datetime

from domain.dispatch import amendment, observation_events
from domain.dispatch.mixin_base import Part
from domain.dispatch.state import Setpoint
from domain.event_sourcing.aggregate import Provenance


class Verifying(Part):
    def verify_by_bms(self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]]) -> None:
        """Compare each curtailed zone's (setpoint, curtailed) with what was commanded.

        Verified once all of them were looked at; one that its comfort limit kept out was never commanded.
        """
        if self.state.status != "committed" or self.state.left is not None:
            return
        commanded = sorted(self.state.curtailed_at)
        drifted = [zone_id for zone_id in commanded if zone_id in states and not states[zone_id][1]]
        for zone_id in drifted:
            found, curtailed = states[zone_id]
            self.record(
                observation_events.DriftFound, provenance, zone_id=zone_id, found=found, curtailed=curtailed
            )
        if not drifted and all(zone_id in states for zone_id in commanded):
            self.record(observation_events.VerifiedByBms, provenance)

    def reconcile(
        self, provenance: Provenance, *, states: dict[str, tuple[Setpoint, bool]], not_after: datetime
    ) -> tuple[str, ...]:
        """Record and correct drift, and bring the building to the plan; gives the zones that drifted."""
        drifted = tuple(amendment.drifted_zones(self.state, states))
        self._record_all(provenance, amendment.correcting(self.state, states, not_after=not_after))
        self._record_all(provenance, amendment.aligning(self.state, not_after=not_after))
        return drifted

    def verify_by_meter(self, provenance: Provenance, *, delivered_kw: float, measured_at: datetime) -> None:
        if self.state.status in {"committed", "verified_by_bms"} and self.state.left is None:
            self.record(
                observation_events.VerifiedByMeter,
                provenance,
                delivered_kw=delivered_kw,
                measured_at=measured_at,
            )

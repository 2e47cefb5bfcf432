"""A zone of a simulated building: its setpoint, its hold and the load it sheds."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.facility.portfolio_entries import ZoneEntry
from application.ports.dispatch.building_control import Setpoint
from interfaces.simulators.bms.journal import Violation

COMFORTABLE_C = 22.0
LONGEST_GRACE_S = 900.0
"""A restore takes its stagger and its retries; later than that the zone was curtailed too long."""
REBOUND_SHARE = 0.1
"""A restored zone at first draws this share of what it had shed in addition, decaying over its ramp."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The hold of a DR event on the zone: prepared at `magnitude` 0, curtailed at any other."""

    dr_event_id: UUID
    command_id: UUID
    expires_at: datetime
    return_to: Setpoint
    magnitude: float = 0.0


@dataclass
class Zone:
    """Mutable state of a zone; times are clock times."""

    entry: ZoneEntry
    shed_factor: float = 1.0
    setpoint: Setpoint = field(init=False)
    hold: Hold | None = None
    curtailed_since: datetime | None = None
    changed_at: datetime | None = None
    """When the setpoint was last set; None: never."""
    rebound_from_kw: float = 0.0
    rebound_since: datetime | None = None

    def __post_init__(self) -> None:
        offset = self.entry.strategy == "setpoint_offset"
        self.setpoint = (
            Setpoint(value=COMFORTABLE_C, unit="celsius") if offset else Setpoint(value=0.0, unit="percent")
        )

    @property
    def curtailed(self) -> bool:
        return self.hold is not None and self.hold.magnitude != 0

    @property
    def shed_kw(self) -> float:
        """The load that the current hold sheds, linear in its magnitude."""
        if self.hold is None:
            return 0.0
        return self.entry.curtailable_kw * self.hold.magnitude / self.entry.max_magnitude * self.shed_factor

    def rebound_kw(self, now: datetime) -> float:
        """The additional load after a restore."""
        if self.rebound_since is None or self.entry.rebound_ramp_s <= 0:
            return 0.0
        elapsed = (now - self.rebound_since).total_seconds() / self.entry.rebound_ramp_s
        return self.rebound_from_kw * REBOUND_SHARE * max(0.0, 1.0 - elapsed) if elapsed >= 0 else 0.0

    def violations(self, since: datetime | None, at: datetime) -> tuple[Violation, ...]:
        """The zone's limits that the change at `at` violates; the zone has been curtailed since `since`."""
        found: list[Violation] = []
        if self.curtailed and self.setpoint.unit == "celsius" and not self._is_comfortable:
            found.append("comfort_limit")
        if since is not None and not self.curtailed:
            lasted_s = (at - since).total_seconds()
            if lasted_s < self.entry.minimum_off_s:
                found.append("minimum_off_time")
            if lasted_s > self.entry.longest_curtailment_s + LONGEST_GRACE_S:
                found.append("longest_curtailment")
        return tuple(found)

    @property
    def _is_comfortable(self) -> bool:
        lower_c = self.entry.lower_comfort_limit_c
        is_warm = lower_c is None or self.setpoint.value >= lower_c
        return is_warm and self.setpoint.value <= self.entry.comfort_limit_c

    def curtail(self, hold: Hold, now: datetime) -> None:
        """Start or deepen the curtailment, relative to the setpoint to restore."""
        self.curtailed_since = self.curtailed_since or now
        self.changed_at = now
        self.hold = hold
        self.setpoint = Setpoint(value=hold.return_to.value + hold.magnitude, unit=hold.return_to.unit)

    def release(self, to: Setpoint | None, now: datetime) -> None:
        """End any hold; the rebound begins if the zone was curtailed."""
        if self.curtailed:
            self.rebound_from_kw, self.rebound_since = self.shed_kw, now
        self.hold = None
        self.curtailed_since = None
        if to is not None:
            self.setpoint, self.changed_at = to, now

"""One zone of a simulated building: its setpoint, who holds it, and what it sheds."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.portfolio import ZoneEntry
from application.ports.building_control import Setpoint

COMFORTABLE_C = 22.0
REBOUND_SHARE = 0.1
"""A restored zone at first draws this share of what it had shed in addition, decaying over its ramp."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A DR event has the zone: prepared at `magnitude` 0, curtailed above."""

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
    rebound_from_kw: float = 0.0
    rebound_since: datetime | None = None

    def __post_init__(self) -> None:
        offset = self.entry.strategy == "setpoint_offset"
        self.setpoint = (
            Setpoint(value=COMFORTABLE_C, unit="celsius") if offset else Setpoint(value=0.0, unit="percent")
        )

    @property
    def curtailed(self) -> bool:
        return self.hold is not None and self.hold.magnitude > 0

    @property
    def shed_kw(self) -> float:
        """What the present hold sheds, linear in its magnitude."""
        if self.hold is None:
            return 0.0
        return self.entry.curtailable_kw * self.hold.magnitude / self.entry.max_magnitude * self.shed_factor

    def rebound_kw(self, now: datetime) -> float:
        """What is drawn in addition, after a restore."""
        if self.rebound_since is None or self.entry.rebound_ramp_s <= 0:
            return 0.0
        elapsed = (now - self.rebound_since).total_seconds() / self.entry.rebound_ramp_s
        return self.rebound_from_kw * REBOUND_SHARE * max(0.0, 1.0 - elapsed) if elapsed >= 0 else 0.0

    def curtail(self, hold: Hold) -> None:
        """Take or deepen the curtailment; the setpoint is counted from the one to return to."""
        self.hold = hold
        self.setpoint = Setpoint(value=hold.return_to.value + hold.magnitude, unit=hold.return_to.unit)

    def release(self, to: Setpoint | None, now: datetime) -> None:
        """End any hold; the rebound begins if the zone was curtailed."""
        if self.curtailed:
            self.rebound_from_kw, self.rebound_since = self.shed_kw, now
        self.hold = None
        if to is not None:
            self.setpoint = to

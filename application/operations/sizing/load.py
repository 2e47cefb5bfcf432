"""The load that a system is sized for."""

from __future__ import annotations

import msgspec

DR_EVENTS_PER_YEAR = 60
USERS = 20
CADENCE_S = 15
"""Of every meter; each sends alone, which costs most (gateways of ten take a quarter of it)."""
CYCLES_A_DAY = 96
DAYS_A_YEAR = 365
MOST_FACILITIES, MOST_METERS, MOST_DR_EVENTS = 10_000_000, 100_000_000, 100_000


class SystemLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Facilities, all their meters, and DR events that each ask every facility."""

    facilities: int
    meters: int
    dr_events_per_year: int = DR_EVENTS_PER_YEAR
    users: int = USERS
    """Of the dashboard, at the same time."""

    @property
    def readings_per_s(self) -> float:
        return self.meters / CADENCE_S

    @property
    def readings_a_day(self) -> int:
        return self.meters * 86_400 // CADENCE_S

    @property
    def dispatches_a_day(self) -> float:
        """Facilities that a DR event asks, on an average day."""
        return self.facilities * self.dr_events_per_year / DAYS_A_YEAR


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long what is stored is kept, days; as the settings say."""

    readings: int = 90
    rollups: int = 730
    telemetry_log: int = 7
    full_backups: int = 2
    """How many; one a week."""

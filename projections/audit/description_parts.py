"""Texts of moments, windows, powers and counts for the descriptions of domain events."""

from collections.abc import Sized
from datetime import UTC, datetime

from domain.dispatch import Setpoint


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def window_text(starts_at: datetime, ends_at: datetime) -> str:
    return f"{moment_text(starts_at)} to {moment_text(ends_at)}"


def kw_text(kw: float) -> str:
    return f"{kw:,.1f} kW"


def setpoint_text(setpoint: Setpoint) -> str:
    return f"{setpoint.value:g} {'°C' if setpoint.unit == 'celsius' else '%'}"


def count_text(facilities: Sized | int) -> str:
    """The number of facilities, or of things of which each has one."""
    count = facilities if isinstance(facilities, int) else len(facilities)
    return f"{count} facilit{'y' if count == 1 else 'ies'}"

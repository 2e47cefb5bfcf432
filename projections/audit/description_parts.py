"""Texts of moments, windows, powers and counts for the descriptions of domain events."""

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


def count_text(facility_ids: tuple[str, ...]) -> str:
    return f"{len(facility_ids)} facilit{'y' if len(facility_ids) == 1 else 'ies'}"

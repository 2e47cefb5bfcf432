"""Stored documents without their steps and intervals: what a month needs of them, read in a fraction of the time."""

from application.settlement.shapes import (
    BaselineSummary,
    FacilityFigures,
    FacilityIntervalFigures,
    SettlementDocument,
    UnitFigures,
    UnitIntervalFigures,
)
from domain.event_sourcing.json_decoders import json_decoder
from domain.settlement.inputs import MeteringStep

_UNREAD = {"intervals": "-intervals", "steps": "-steps", "baseline": "-baseline"}
"""No member of a document has these names, so the fields keep their defaults."""


class _Unit(UnitFigures, frozen=True, kw_only=True, rename=_UNREAD):
    intervals: tuple[UnitIntervalFigures, ...] = ()


class _Facility(FacilityFigures, frozen=True, kw_only=True, rename=_UNREAD):
    intervals: tuple[FacilityIntervalFigures, ...] = ()
    steps: tuple[MeteringStep, ...] = ()
    baseline: BaselineSummary | None = None


class _Document(SettlementDocument, frozen=True, kw_only=True):
    units: tuple[_Unit, ...]
    facilities: tuple[_Facility, ...]


def read_without_steps(written: bytes) -> SettlementDocument:
    """It cannot be recomputed. Raises msgspec.ValidationError or DecodeError."""
    return json_decoder(_Document).decode(written)

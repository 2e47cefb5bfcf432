"""Stored documents without steps, intervals, flags and changes: what a month needs of them, in a fraction of time and
memory."""

from application.settlement.shapes import (
    BaselineSummary,
    FacilityFigures,
    FacilityIntervalFigures,
    Flag,
    ResettlementFigures,
    SettlementDocument,
    UnitFigures,
    UnitIntervalFigures,
)
from domain.event_sourcing.decoders import json_decoder
from domain.settlement.inputs import MeteringStep

_UNREAD = {name: f"-{name}" for name in ("intervals", "steps", "baseline", "flags", "resettlement")}
"""No member of a document has these names, so the fields keep their defaults."""


class _Unit(UnitFigures, frozen=True, kw_only=True, rename=_UNREAD):
    intervals: tuple[UnitIntervalFigures, ...] = ()


class _Facility(FacilityFigures, frozen=True, kw_only=True, rename=_UNREAD):
    intervals: tuple[FacilityIntervalFigures, ...] = ()
    steps: tuple[MeteringStep, ...] = ()
    baseline: BaselineSummary | None = None


class _Document(SettlementDocument, frozen=True, kw_only=True, rename=_UNREAD):
    units: tuple[_Unit, ...]
    facilities: tuple[_Facility, ...]
    flags: tuple[Flag, ...] = ()
    resettlement: ResettlementFigures | None = None


def read_without_steps(written: bytes) -> SettlementDocument:
    """It cannot be recomputed. Raises msgspec.ValidationError or DecodeError."""
    return json_decoder(_Document).decode(written)

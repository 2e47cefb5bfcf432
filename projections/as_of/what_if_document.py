"""The request and the result of a what-if comparison."""

from typing import Literal
from uuid import UUID

import msgspec

from domain.allocation.proportional_split import AllocationRule
from projections.audit.stream_log import AsOf

Policy = Literal["continue", "reallocate", "abort"]
PartOutcome = Literal["served", "failed", "released", "under_way", "not_planned", "left_out", "compensated"]


class NothingPlanned(LookupError):
    """The DR event has no plan in that part of the log: there is nothing to change."""


class NotInThePlan(LookupError):
    """A facility that is to be left out is not in the plan."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The difference from the recorded DR event; a field that is None or empty stays as recorded."""

    without: tuple[str, ...] = ()
    target_kw: float | None = None
    allocation: AllocationRule | None = None
    policy: Policy | None = None
    baseline: str | None = None

    @property
    def of_the_plan(self) -> bool:
        return bool(self.without) or self.target_kw is not None or self.allocation is not None


class RemeasuredResult(msgspec.Struct, frozen=True, kw_only=True):
    """The delivered power of a facility by another baseline; None with the reason if it cannot be computed."""

    delivered_kw: float | None
    why: str | None = None
    same_readings: bool | None = None
    """Whether the readings are still those of the recorded measurement; None: nothing was measured, or it
    cannot be told here."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part; kW are means over the window, None if unknown."""

    outcome: PartOutcome
    target_kw: float
    delivered_kw: float | None
    why: str | None = None


class FacilityComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's recorded and hypothetical part."""

    facility_id: str
    headroom_kw: float | None
    recorded: Part
    hypothetical: Part


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """target_kw = planned_kw + missing_kw; lost_kw is the planned power of facilities that cannot deliver it."""

    target_kw: float
    planned_kw: float
    missing_kw: float
    lost_kw: float
    delivered_kw: float | None
    """Of the measured facilities; None if there are none."""
    shortfall_kw: float | None
    unmeasured_facilities: tuple[str, ...]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `gridproof audit what-if --json`."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    as_of: AsOf | None
    position: int
    change: Change
    facilities: tuple[FacilityComparison, ...]
    recorded: Totals
    hypothetical: Totals
    remeasured: dict[str, RemeasuredResult]

"""The result of a recomputation: each facility, and the delivery of the DR event."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isclose
from typing import Literal
from uuid import UUID

import msgspec

from application.ledger.proof_seals import CheckedDay
from application.ledger.recomputation.differences import ABSOLUTE, RELATIVE, FigureDifference
from domain.dispatch import MeasurementFigures

Status = Literal["equal", "differs", "not_recomputed"]


class WindowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the measured window, kW."""

    baseline_kw: float | None
    metered_kw: float | None
    delivered_kw: float

    @classmethod
    def of(cls, figures: MeasurementFigures) -> WindowFigures:
        known = [
            (one.adjusted_kw, one.metered_kw)
            for one in figures.intervals
            if one.adjusted_kw is not None and one.metered_kw is not None
        ]
        return cls(
            baseline_kw=_mean([baseline_kw for baseline_kw, _ in known]),
            metered_kw=_mean([metered_kw for _, metered_kw in known]),
            delivered_kw=figures.delivered_kw,
        )


def _mean(values: Sequence[float]) -> float | None:
    return fsum(values) / len(values) if values else None


class RecomputedFacility(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's measurement, computed again."""

    facility_id: str
    status: Status
    why: str = ""
    """Why it was not computed again."""
    method: str
    position: int
    """Of the domain event that records the measurement."""
    domain_event_id: UUID
    recorded: WindowFigures
    recomputed: WindowFigures | None = None
    figures: MeasurementFigures | None = None
    """All that was recomputed."""
    differences: tuple[FigureDifference, ...] = ()
    notes: tuple[str, ...] = ()
    days: tuple[CheckedDay, ...] = ()

    @property
    def sealed_days(self) -> int:
        return sum(day.state in {"sealed", "corrected_since"} for day in self.days)


class RecomputedSum(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery of the DR event, of the facilities that could be measured; mean kW."""

    position: int
    """Of the domain event that records it."""
    recorded_kw: float
    recomputed_kw: float

    @property
    def is_equal(self) -> bool:
        return isclose(self.recorded_kw, self.recomputed_kw, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


class Recomputation(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a DR event, computed again."""

    facilities: tuple[RecomputedFacility, ...]
    """Those that were measured."""
    dispatches: int
    """All that its plans name."""
    total: RecomputedSum | None
    """None: nothing was summed since the last measurement."""

    def count(self, status: Status) -> int:
        return sum(one.status == status for one in self.facilities)

    @property
    def differs(self) -> bool:
        return self.count("differs") > 0 or (self.total is not None and not self.total.is_equal)

    @property
    def line(self) -> str:
        """The result in one line."""
        done = self.count("equal") + self.count("differs")
        result = f"{self.count('differs')} DIFFER" if self.count("differs") else "all equal"
        if not done:
            result = "nothing to compare"
        elif self.total is not None and not self.total.is_equal:
            result += ", and their sum DIFFERS"
        left = self.count("not_recomputed")
        rest = f"; {left} not recomputed" if left else ""
        measurements = "1 measurement" if done == 1 else f"{done} measurements"
        facilities = "1 facility" if self.dispatches == 1 else f"{self.dispatches} facilities"
        return f"recomputed {measurements} of {facilities}: {result}{rest}"

"""Energy of a settlement: what each facility committed and delivered, and what of it counts (numbers 1 to 5 of the
note in docs/settlement.md).
"""

from datetime import datetime
from fractions import Fraction
from typing import Literal

import msgspec

from domain.program.settlement_rule import SettlementRule
from domain.settlement.inputs import MeteringStep
from domain.settlement.rounding import Exact, Rounding, exact

LeftOut = Literal["coverage", "baseline", "opted_out", "failed", "excused", "no_window"]
ZERO = Fraction(0)
PORTFOLIO = "portfolio"


class FacilityInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of a settlement interval; `delivered_kw` None: left out, since nothing of it is known."""

    starts_at: datetime
    steps: int
    known_steps: int
    committed_kw: Exact
    delivered_kw: Exact | None


class FacilityQuantities(msgspec.Struct, frozen=True, kw_only=True):
    """The committed and delivered energy of one facility. `reason`: why it does not count; None: it counts."""

    facility_id: str
    result: str
    reason: LeftOut | None
    coverage: Exact = ZERO
    intervals: tuple[FacilityInterval, ...] = ()
    steps: tuple[MeteringStep, ...] = ()
    committed_kwh: Exact = ZERO
    delivered_kwh: Exact = ZERO
    shortfall_kwh: Exact = ZERO


class UnitInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement interval of what is settled together; kW."""

    starts_at: datetime
    hours: Exact
    committed_kw: Exact
    delivered_kw: Exact
    counted_kw: Exact


class UnitQuantities(msgspec.Struct, frozen=True, kw_only=True):
    """The unit that is settled together: a facility, or the portfolio. `ratio` None: nothing is committed."""

    unit: str
    intervals: tuple[UnitInterval, ...]
    committed_kwh: Exact
    counted_kwh: Exact
    hours: Exact
    ratio: Exact | None


def rounding_of(rule: SettlementRule) -> Rounding:
    performance = rule.performance
    places = 4 if performance is None else performance.places
    return Rounding(rule.rounding, places, rule.minor_unit)


def ratio_of(rule: SettlementRule, counted: Exact, committed: Exact) -> Exact | None:
    """Number 5 of the note: rounded, then held in min..max; None where nothing is committed."""
    return None if not committed else held(rule, counted / committed)


def held(rule: SettlementRule, ratio: Exact) -> Exact:
    """`ratio` rounded to the rule's places, then held in its min..max."""
    rounded = rounding_of(rule).ratio(ratio)
    performance = rule.performance
    if performance is None:
        return max(ZERO, rounded)
    rounded = max(exact(performance.min), rounded)
    return rounded if performance.max is None else min(exact(performance.max), rounded)

"""Parts of a portfolio's line: largest remainder in minor units, so that they add up to the line (number 8)."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor

from domain.settlement.quantities import ZERO, FacilityQuantities
from domain.settlement.rounding import Exact


def parts_of(amount: Exact, weights: Mapping[str, Exact], minor_unit: int) -> dict[str, Exact]:
    """`amount`, a multiple of the minor unit, split by `weights` (none below 0; all 0: equally).

    Ties of the remainders go to the smaller facility id.
    """
    if not weights:
        return {}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, Fraction(1))
    unit = Fraction(1, 10**minor_unit)
    whole, total = abs(amount) / unit, sum(weights.values(), ZERO)
    exact_shares = {name: whole * weight / total for name, weight in weights.items()}
    shares = {name: floor(share) for name, share in exact_shares.items()}
    left = int(whole - sum(shares.values()))
    by_remainder = sorted(weights, key=lambda name: (shares[name] - exact_shares[name], name))
    for name in by_remainder[:left]:
        shares[name] += 1
    sign = 1 if amount >= 0 else -1
    return {name: sign * shares[name] * unit for name in sorted(shares)}


def weights_of(
    amount: Exact, facilities: Mapping[str, FacilityQuantities], positive_by: str
) -> dict[str, Exact]:
    """The weights of a line: positive by delivered (not below 0) or committed energy, negative by shortfall; where all
    are 0, by committed energy."""
    if amount < 0:
        weights = {name: one.shortfall_kwh for name, one in facilities.items()}
    elif positive_by == "committed":
        weights = {name: one.committed_kwh for name, one in facilities.items()}
    else:
        weights = {name: max(ZERO, one.delivered_kwh) for name, one in facilities.items()}
    if any(weights.values()):
        return weights
    return {name: one.committed_kwh for name, one in facilities.items()}

"""Exact amounts, and the only three places where they are rounded: 3 places, the ratio's places, the minor unit."""

from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Literal

import msgspec

Exact = Fraction
HALF = Fraction(1, 2)
ENERGY_PLACES = 3
"""Of kW and kWh."""


def rounded(value: Exact, places: int, mode: Literal["half_up", "half_even"]) -> Exact:
    """`value` to so many decimal places. `half_up` rounds halves away from zero."""
    scaled = abs(value) * 10**places
    whole = floor(scaled)
    rest = scaled - whole
    if rest > HALF or (rest == HALF and (mode == "half_up" or whole % 2 == 1)):
        whole += 1
    return Fraction(whole if value >= 0 else -whole, 10**places)


def exact(value: float | str | Decimal) -> Exact:
    """The exact value of a float, or of a decimal string."""
    return Fraction(value)


def decimal_text(value: Exact, places: int) -> str:
    """A value that was rounded to so many places, with exactly those digits: "1.50"."""
    digits = value * 10**places
    if digits.denominator != 1:
        raise ValueError(f"{value} has more than {places} places")
    sign, number = ("-" if digits < 0 else ""), str(abs(digits.numerator)).rjust(places + 1, "0")
    return f"{sign}{number}" if places == 0 else f"{sign}{number[:-places]}.{number[-places:]}"


class Rounding(msgspec.Struct, frozen=True):
    """How a rule rounds: r3, rp and rm of the note."""

    mode: Literal["half_up", "half_even"]
    ratio_places: int
    minor_unit: int

    def energy(self, value: Exact) -> Exact:
        """r3: kW or kWh."""
        return rounded(value, ENERGY_PLACES, self.mode)

    def ratio(self, value: Exact) -> Exact:
        """rp."""
        return rounded(value, self.ratio_places, self.mode)

    def money(self, value: Exact) -> Exact:
        """rm."""
        return rounded(value, self.minor_unit, self.mode)

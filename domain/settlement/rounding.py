"""Exact amounts, and the only three places where they are rounded: 3 places, the ratio's places, the minor unit."""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import msgspec

Exact = Fraction
Mode = Literal["half_up", "half_even"]
ENERGY_PLACES = 3
"""Of kW and kWh."""


def rounded(value: Exact, places: int, mode: Mode) -> Exact:
    """`value` to so many decimal places. `half_up` rounds halves away from zero."""
    scale = 10**places
    return Fraction(whole_quotient(value.numerator * scale, value.denominator, mode), scale)


def whole_quotient(number: int, divisor: int, mode: Mode) -> int:
    """`number` / `divisor`, which is above 0, rounded to a whole number."""
    whole, rest = divmod(abs(number), divisor)
    if 2 * rest > divisor or (2 * rest == divisor and (mode == "half_up" or whole % 2 == 1)):
        whole += 1
    return whole if number >= 0 else -whole


def thousandths(text: str, mode: Mode) -> int:
    """r3 of a decimal string, kW or kWh, as a whole number of thousandths."""
    whole, _, places = text.partition(".")
    if len(places) <= ENERGY_PLACES:
        return int(whole + places.ljust(ENERGY_PLACES, "0"))
    return int(rounded(Fraction(text), ENERGY_PLACES, mode) * 10**ENERGY_PLACES)


def of_thousandths(number: int) -> Exact:
    return Fraction(number, 10**ENERGY_PLACES)


@lru_cache(maxsize=1024)
def exact(value: float | str | Decimal) -> Exact:
    """The exact value of a float, or of a decimal string. Cached: the rates of a rule are read for every facility."""
    return Fraction(value)


def decimal_text(value: Exact, places: int) -> str:
    """A value that was rounded to so many places, with exactly those digits: "1.50"."""
    digits, rest = divmod(value.numerator * 10**places, value.denominator)
    if rest:
        raise ValueError(f"{value} has more than {places} places")
    sign, number = ("-" if digits < 0 else ""), str(abs(digits)).rjust(places + 1, "0")
    return f"{sign}{number}" if places == 0 else f"{sign}{number[:-places]}.{number[-places:]}"


class Rounding(msgspec.Struct, frozen=True):
    """How a rule rounds: r3, rp and rm of the note."""

    mode: Mode
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

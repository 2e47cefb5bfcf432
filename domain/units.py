"""Checked quantities: a number enters the domain only through one of these functions.

Quantities are plain floats whose name carries the unit (`_kw`, `_kwh`, `_c`, `_s`). Each function returns the
value as a float, or raises `InvalidQuantity` with the field, the value and the bound.
"""

from decimal import Decimal
from math import isfinite
from typing import Annotated

import msgspec

# In Python `$` also matches before a newline at the end.
DecimalString = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?(?!\n)$", max_length=400)]
"""An exact decimal without exponent, as settlement documents write money, ratios and kW: "0.35". Any float fits."""
KilowattString = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(?!\n)$", max_length=40)]
"""A power of 0 kW or above as an exact decimal."""

MAXIMUM_KW = 10_000_000.0
"""10 GW, above any portfolio: a larger value has the wrong unit (watts sent as kilowatts)."""

LOWEST_OUTDOOR_C = -90.0
HIGHEST_OUTDOOR_C = 60.0
"""The records are -89.2 and +56.7 degrees Celsius (WMO archive of extremes)."""


class InvalidQuantity(ValueError):
    """A quantity that is not a number, not finite, or out of bounds; the message names it and the bound."""

    def __init__(self, name: str, value: object, demand: str) -> None:
        super().__init__(f"{name} must be {demand}, got {value!r}")
        self.name = name
        self.value = value


def quantity(
    value: object,
    *,
    name: str,
    minimum: float | None = None,
    maximum: float | None = None,
) -> float:
    """`value` as a finite float in `minimum..maximum`. Raises InvalidQuantity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidQuantity(name, value, "a finite number")
    if minimum is not None and value < minimum:
        raise InvalidQuantity(name, value, f"at least {minimum:g}")
    if maximum is not None and value > maximum:
        raise InvalidQuantity(name, value, f"at most {maximum:g}")
    return float(value)


def kilowatts(value: object, *, name: str) -> float:
    """A non-negative power in kW."""
    return quantity(value, name=name, minimum=0.0, maximum=MAXIMUM_KW)


def outdoor_celsius(value: object, *, name: str) -> float:
    """An outdoor air temperature in degrees Celsius."""
    return quantity(value, name=name, minimum=LOWEST_OUTDOOR_C, maximum=HIGHEST_OUTDOOR_C)


def decimal_string(value: float | str) -> str:
    """The shortest DecimalString of that value: 4.0 and "4.00" give "4". A float gives all its digits."""
    exact = Decimal(repr(value) if isinstance(value, float) else value)
    digits = f"{exact:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits

"""Checked quantities: a number enters the domain only through one of these.

Quantities are plain floats whose name carries the unit (`_kw`, `_kwh`, `_c`, `_s`); each function here
returns the value it was given, as a float, or raises `InvalidQuantity` naming the field, the value and the
bound.
"""

from math import isfinite

MAXIMUM_KW = 10_000_000.0
"""10 GW: above any portfolio, so a larger value is a wrong unit (watts sent as kilowatts)."""

LOWEST_OUTDOOR_C = -90.0
HIGHEST_OUTDOOR_C = 60.0
"""The records are -89.2 and +56.7 degrees Celsius (WMO archive of extremes)."""


class InvalidQuantity(ValueError):
    """A quantity is not a number, not finite, or outside its bounds; the message says which and what is
    allowed.
    """

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
    above: float | None = None,
) -> float:
    """`value` as a finite float in `minimum..maximum` and strictly above `above`; else InvalidQuantity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidQuantity(name, value, "a finite number")
    if above is not None and value <= above:
        raise InvalidQuantity(name, value, f"above {above:g}")
    if minimum is not None and value < minimum:
        raise InvalidQuantity(name, value, f"at least {minimum:g}")
    if maximum is not None and value > maximum:
        raise InvalidQuantity(name, value, f"at most {maximum:g}")
    return float(value)


def kilowatts(value: object, *, name: str) -> float:
    """A non-negative power in kW."""
    return quantity(value, name=name, minimum=0.0, maximum=MAXIMUM_KW)


def positive_kilowatts(value: object, *, name: str) -> float:
    """A power in kW above zero, such as a target."""
    return quantity(value, name=name, above=0.0, maximum=MAXIMUM_KW)


def metered_kilowatts(value: object, *, name: str) -> float:
    """What a meter says, in kW: negative when the site exports."""
    return quantity(value, name=name, minimum=-MAXIMUM_KW, maximum=MAXIMUM_KW)


def kilowatt_hours(value: object, *, name: str) -> float:
    """A non-negative energy in kWh, such as a counter's reading."""
    return quantity(value, name=name, minimum=0.0)


def outdoor_celsius(value: object, *, name: str) -> float:
    """An outdoor air temperature in degrees Celsius."""
    return quantity(value, name=name, minimum=LOWEST_OUTDOOR_C, maximum=HIGHEST_OUTDOOR_C)


def seconds(value: object, *, name: str) -> float:
    """A non-negative duration in seconds."""
    return quantity(value, name=name, minimum=0.0)


def share(value: object, *, name: str) -> float:
    """A part of a whole, 0..1."""
    return quantity(value, name=name, minimum=0.0, maximum=1.0)


def kilowatts_from_energy(energy_kwh: float, *, step_s: float) -> float:
    """Mean power (kW) of an interval of `step_s` seconds in which `energy_kwh` flowed."""
    return energy_kwh * 3600.0 / quantity(step_s, name="step_s", above=0.0)

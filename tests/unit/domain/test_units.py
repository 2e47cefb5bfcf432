import math

import pytest

from domain.units import InvalidQuantity, kilowatts, outdoor_celsius


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "12", None, True, -0.001, 1e9])
def test_an_implausible_power_is_refused_with_the_name_of_its_field(value: object) -> None:
    with pytest.raises(InvalidQuantity, match=r"target_kw must be .*, got"):
        kilowatts(value, name="target_kw")


def test_a_checked_quantity_is_returned_as_a_float() -> None:
    assert kilowatts(12, name="target_kw") == 12.0
    assert isinstance(kilowatts(12, name="target_kw"), float)
    assert kilowatts(0, name="kw") == 0.0


def test_an_outdoor_temperature_outside_its_bounds_is_refused() -> None:
    assert outdoor_celsius(-40, name="temp_c") == -40.0
    with pytest.raises(InvalidQuantity, match="temp_c must be at most 60"):
        outdoor_celsius(295.0, name="temp_c")

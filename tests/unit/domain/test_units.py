import math

import pytest

from domain.units import (
    InvalidQuantity,
    kilowatt_hours,
    kilowatts,
    kilowatts_from_energy,
    metered_kilowatts,
    outdoor_celsius,
    positive_kilowatts,
    seconds,
    share,
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "12", None, True, -0.001, 1e9])
def test_a_power_that_is_no_finite_plausible_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidQuantity, match=r"target_kw must be .*, got"):
        kilowatts(value, name="target_kw")


def test_a_checked_quantity_comes_back_as_a_float() -> None:
    assert kilowatts(12, name="target_kw") == 12.0
    assert isinstance(kilowatts(12, name="target_kw"), float)


def test_a_target_of_zero_is_not_positive() -> None:
    assert kilowatts(0, name="kw") == 0.0
    with pytest.raises(InvalidQuantity, match="above 0"):
        positive_kilowatts(0, name="target_kw")


def test_a_meter_may_run_backwards_but_a_counter_may_not() -> None:
    assert metered_kilowatts(-5.5, name="kw") == -5.5
    with pytest.raises(InvalidQuantity):
        kilowatt_hours(-5.5, name="kwh_total")


def test_temperatures_shares_and_durations_have_their_bounds() -> None:
    assert outdoor_celsius(-40, name="temp_c") == -40.0
    assert share(1, name="acceptable_share") == 1.0
    assert seconds(0, name="notice_s") == 0.0
    for check, value in ((outdoor_celsius, 295.0), (share, 80), (seconds, -1)):
        with pytest.raises(InvalidQuantity):
            check(value, name="field")


def test_energy_in_a_quarter_hour_is_four_times_as_much_power() -> None:
    assert kilowatts_from_energy(2.5, step_s=900) == 10.0
    with pytest.raises(InvalidQuantity, match="step_s"):
        kilowatts_from_energy(2.5, step_s=0)

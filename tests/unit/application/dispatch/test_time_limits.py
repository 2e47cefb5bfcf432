"""The time limits of BMS commands are consistent, and an inconsistent pair is named."""

from dataclasses import replace

import pytest

from application.dispatch.time_limits import TIME_LIMITS, TimeLimitsConflict


def test_the_default_time_limits_are_consistent() -> None:
    TIME_LIMITS.check()
    assert TIME_LIMITS.longest_delivery_s == 4 * (2 * 30.0 + 5 * 30.0 + 4 * 1.0 + 30.0) + 120.0


@pytest.mark.parametrize(
    ("changes", "shorter", "longer"),
    [
        ({"connect_s": 31.0}, "GRIDPROOF_BMS_CONNECT_TIMEOUT_S", "GRIDPROOF_BMS_TOTAL_TIMEOUT_S"),
        ({"call_s": 60.0}, "longest_delivery_s", "expiry_after_end_s"),
        ({"command_sla_s": 29.0}, "GRIDPROOF_BMS_TOTAL_TIMEOUT_S", "GRIDPROOF_COMMAND_SLA_S"),
        ({"first_backoff_s": 31.0}, "first_backoff_s", "longest_backoff_s"),
        ({"command_sla_s": 1_801.0}, "GRIDPROOF_COMMAND_SLA_S", "expiry_after_end_s"),
        ({"expiry_after_end_s": 899.0}, "GRIDPROOF_COMMAND_SLA_S", "expiry_after_end_s"),
        ({"max_tries": 10}, "longest_delivery_s", "expiry_after_end_s"),
        ({"read_backs": 15}, "longest_delivery_s", "expiry_after_end_s"),
    ],
)
def test_inconsistent_time_limits_are_named(changes: dict[str, float], shorter: str, longer: str) -> None:
    with pytest.raises(TimeLimitsConflict, match=f"{shorter} is .* {longer} is .* Make {shorter} at most"):
        replace(TIME_LIMITS, **changes).check()  # type: ignore[arg-type]  # all are numbers

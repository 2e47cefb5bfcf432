"""Settings that contradict the time limits of a BMS command are refused, together with all other invalid settings."""

import pytest

from interfaces.settings.settings import SettingsError, read_settings

CLOCK = {
    "GRIDPROOF_CLOCK_EPOCH": "2026-07-14T12:00:00Z",
    "GRIDPROOF_CLOCK_STARTED_AT": "2026-07-14T12:00:00Z",
    "GRIDPROOF_CLOCK_SPEED": "60",
}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "60"}, "longest_delivery_s is 1936 s, and expiry_after_end_s"),
        ({"GRIDPROOF_COMMAND_SLA_S": "3600"}, "GRIDPROOF_COMMAND_SLA_S is 3600 s, and expiry_after_end_s"),
        (
            {"GRIDPROOF_COMMAND_SLA_S": "20"},
            "GRIDPROOF_BMS_TOTAL_TIMEOUT_S is 30 s, and GRIDPROOF_COMMAND_SLA_S",
        ),
    ],
)
def test_inconsistent_time_limits_are_refused_by_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read_settings(environ)


def test_the_default_time_limits_are_consistent() -> None:
    read_settings({})


def test_on_an_accelerated_clock_calls_may_take_longer() -> None:
    assert read_settings({"GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "600", **CLOCK}).bms_total_timeout_s == 600.0


def test_a_refused_time_limit_is_reported_once() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "none"})
    assert str(refused.value).count("GRIDPROOF_BMS_TOTAL_TIMEOUT_S") == 1

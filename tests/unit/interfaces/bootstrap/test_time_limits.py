"""A process does not start on settings that do not fit the time limits of a BMS command."""

from datetime import UTC, datetime

import pytest

from application.dispatch.time_limits import TimeLimitsConflict
from interfaces.bootstrap import check_time_limits, run_worker
from interfaces.settings.settings import Settings
from interfaces.system.running_system import RunningSystem

EPOCH = datetime(2026, 7, 14, tzinfo=UTC)


def test_the_default_settings_fit() -> None:
    check_time_limits(Settings())


@pytest.mark.parametrize("settings", [Settings(bms_total_timeout_s=60.0), Settings(command_sla_s=3_600.0)])
def test_settings_that_do_not_fit_are_refused(settings: Settings) -> None:
    with pytest.raises(TimeLimitsConflict):
        run_worker("dispatch", settings)
    with pytest.raises(TimeLimitsConflict):
        RunningSystem(settings)


def test_on_an_accelerated_clock_calls_may_take_longer() -> None:
    check_time_limits(
        Settings(bms_total_timeout_s=600.0, clock_speed=60.0, clock_epoch=EPOCH, clock_started_at=EPOCH)
    )

"""The game day: which alerts have a case, and why the others have none."""

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.gameday.all_cases import CASES

SHOWN = {alert: one.name for one in CASES.values() for alert in one.alerts}
WITHOUT_CASE: dict[str, str] = {
    "forecast_conflicts": "needs two degraded forecasts of one cycle from other inputs: it lasts 15 s at 60 times real "
    "time, hardly longer than a command that makes the other one, and a full forecast is not computed again",
    "forecast_drift": "needs three days of forecasts with their scores: 72 minutes at 60 times real time",
}
"""Alert -> why no case shows it yet. This list may only become shorter."""


def test_each_alert_has_a_case_or_a_reason() -> None:
    assert ALERTS.keys() - SHOWN.keys() - WITHOUT_CASE.keys() == set()
    assert SHOWN.keys() & WITHOUT_CASE.keys() == set()
    assert all(WITHOUT_CASE.values())


@pytest.mark.parametrize("alert", sorted(SHOWN))
def test_an_alert_is_shown_by_the_case_that_its_entry_names(alert: str) -> None:
    assert SHOWN[alert] == ALERTS[alert].case

"""The game day: which alerts have a case, and why the others have none."""

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.gameday.all_cases import CASES

SHOWN = {alert: one.name for one in CASES.values() for alert in one.alerts}
LONG = "is raised or ends after more minutes than a game day has"
WITHOUT_CASE: dict[str, str] = {
    "forecast_conflicts": "needs the same cycle from other inputs; a share of a day ends it",
    "forecast_drift": LONG,
    "raw_archive_behind": LONG,
    "retention_held_back": LONG,
    "sealing_failing": LONG,
    "settling_behind": "a fast clock finalizes late quarter-hours as soon as the aggregate workers run",
}
"""Alert -> why no case shows it yet. This list may only become shorter."""


def test_each_alert_has_a_case_or_a_reason() -> None:
    assert ALERTS.keys() - SHOWN.keys() - WITHOUT_CASE.keys() == set()
    assert SHOWN.keys() & WITHOUT_CASE.keys() == set()
    assert all(WITHOUT_CASE.values())


@pytest.mark.parametrize("alert", sorted(SHOWN))
def test_an_alert_is_shown_by_the_case_that_its_entry_names(alert: str) -> None:
    assert SHOWN[alert] == ALERTS[alert].case

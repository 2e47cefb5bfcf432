"""The game day: each alert has a case."""

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.gameday.all_cases import CASES

SHOWN = {alert: one.name for one in CASES.values() for alert in one.alerts}


def test_each_alert_has_a_case() -> None:
    assert SHOWN.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", sorted(SHOWN))
def test_an_alert_is_shown_by_the_case_that_its_entry_names(alert: str) -> None:
    assert SHOWN[alert] == ALERTS[alert].case

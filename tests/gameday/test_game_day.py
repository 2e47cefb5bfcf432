"""Each alert with a case is raised by its cause, and ends after its runbook's commands."""

import pytest

from tests.gameday.all_cases import CASES
from tests.gameday.drill import Figures, Outcome

pytestmark = pytest.mark.slow
SHOWN = sorted(alert for one in CASES.values() for alert in one.alerts)


@pytest.mark.parametrize("alert", SHOWN)
def test_the_alert_is_raised_and_ends(game_day: Figures, alert: str) -> None:
    outcome = game_day[alert]
    if not isinstance(outcome, Outcome):
        raise outcome
    assert outcome.fired_s is not None
    assert outcome.ended_s is not None

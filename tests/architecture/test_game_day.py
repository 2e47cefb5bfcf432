"""The game day: which alerts have a case, and why the others have none."""

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.gameday.all_cases import CASES

SHOWN = {alert: one.name for one in CASES.values() for alert in one.alerts}
ANOTHER_SYSTEM = "needs a second system with other settings, since the demo's cannot be changed while it runs"
STANDBY = "needs a standby: the embedded server has none; `make hosts` shows failovers"
LONG = "is raised or ends after more minutes than a game day has"
WITHOUT_CASE: dict[str, str] = {
    "backup_too_old": ANOTHER_SYSTEM,
    "curtailed_without_record": "needs a restore of the database, which ends the demo",
    "database_failover": STANDBY,
    "forecast_conflicts": "needs the same cycle from other inputs; a share of a day ends it",
    "forecast_drift": LONG,
    "no_synchronous_standby": STANDBY,
    "older_timeline": STANDBY,
    "raw_archive_behind": LONG,
    "replica_not_current": STANDBY,
    "retention_held_back": LONG,
    "sealing_failing": LONG,
    "settling_behind": "a fast clock finalizes late quarter-hours as soon as the aggregate workers run",
    "standby_lost": STANDBY,
    "telemetry_queries_slow": LONG,
    "telemetry_write_errors": LONG,
}
"""Alert -> why no case shows it yet. This list may only become shorter."""


def test_each_alert_has_a_case_or_a_reason() -> None:
    assert ALERTS.keys() - SHOWN.keys() - WITHOUT_CASE.keys() == set()
    assert SHOWN.keys() & WITHOUT_CASE.keys() == set()
    assert all(WITHOUT_CASE.values())


@pytest.mark.parametrize("alert", sorted(SHOWN))
def test_an_alert_is_shown_by_the_case_that_its_entry_names(alert: str) -> None:
    assert SHOWN[alert] == ALERTS[alert].case

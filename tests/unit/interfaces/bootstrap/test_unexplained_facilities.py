"""Which buildings the dispatch workers go on asking after a restore."""

from types import SimpleNamespace
from typing import Any

from application.dispatch.execution.restored_buildings import UNEXPLAINED
from interfaces.bootstrap.backup.restore import unexplained_facilities
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.open_alerts import begin_alert
from tests.sample_values import NOW


def test_a_restore_may_leave_more_buildings_than_a_page_of_alerts() -> None:
    alerts = FakeAlertRegistry()
    for number in range(300):
        begin_alert(alerts, UNEXPLAINED, f"fac-{number:05}", "x", at=NOW)
    stores: Any = SimpleNamespace(alerts=lambda: alerts)
    assert len(unexplained_facilities(stores)) == 300

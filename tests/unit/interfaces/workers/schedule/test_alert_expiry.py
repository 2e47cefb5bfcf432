"""Alerts that whoever raised them cannot end are ended."""

from datetime import timedelta

import pytest

from application.operations.alert_catalogue import ALERTS
from interfaces.workers.loops.process_monitor import CERTIFICATES_EVERY_S
from interfaces.workers.schedule.alert_expiry import AlertExpiry, no_dispatch_under_way
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import NOW

QUIET = sorted(name for name, definition in ALERTS.items() if definition.quiet_s is not None)


def open_names(alerts: FakeAlertRegistry) -> list[str]:
    return [alert.name for alert in alerts.listed()]


@pytest.mark.parametrize("speed", [1.0, 60.0])
@pytest.mark.parametrize("name", QUIET)
def test_an_alert_that_nothing_raises_again_ends(name: str, speed: float) -> None:
    clock, alerts = FakeClock(NOW, speed=speed), FakeAlertRegistry()
    expiry = AlertExpiry(alerts, clock, {})
    quiet = timedelta(seconds=(ALERTS[name].quiet_s or 0.0) * speed)
    alerts.raise_alert(name, "x", "first", at=NOW)
    clock.moment = NOW + quiet - timedelta(seconds=1)
    alerts.raise_alert(name, "x", "again", at=clock.moment)
    clock.moment = NOW + 2 * quiet - timedelta(seconds=2)
    expiry.check()
    assert open_names(alerts) == [name]
    clock.moment = NOW + 2 * quiet
    expiry.check()
    assert open_names(alerts) == []


def test_a_certificate_that_is_looked_at_every_hour_keeps_its_alert() -> None:
    quiet_s = ALERTS["certificate_expiring"].quiet_s
    assert quiet_s is not None, "a server that is not called any more never shows another one"
    assert quiet_s > 2 * CERTIFICATES_EVERY_S


def test_an_alert_without_a_quiet_time_stays() -> None:
    clock, alerts = FakeClock(NOW), FakeAlertRegistry()
    alerts.raise_alert("ledger_mismatch", "x", "x", at=NOW)
    clock.moment = NOW + timedelta(days=30)
    AlertExpiry(alerts, clock, {}).check()
    assert open_names(alerts) == ["ledger_mismatch"]


def test_drift_ends_with_the_dispatch() -> None:
    there = InProcessSystem.accepted("fac-001", "fac-002").until("active")
    there.alerts.raise_alert("bms_drift", "fac-001", "not as commanded", at=NOW)

    def check() -> list[str]:
        models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
        is_over = {"bms_drift": no_dispatch_under_way(models.dispatches)}
        AlertExpiry(there.alerts, there.scenario.clock, is_over).check()
        return open_names(there.alerts)

    assert check() == ["bms_drift"]
    there.until("completed")
    assert check() == []

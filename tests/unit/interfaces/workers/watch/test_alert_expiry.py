"""Alerts whose observers are gone end, and what is true for longer stays."""

from functools import partial

from application.ports.operations.alerts import SILENT_S
from interfaces.system.running_system import RESTARTED, RESTARTED_FOR_S
from interfaces.workers.loops.process_monitor import CERTIFICATES_EVERY_S, EXPIRING, CertificateMonitor
from interfaces.workers.watch.alert_expiry import AlertExpiry
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.open_alerts import begin_alert
from tests.sample_values import NOW


class Wall:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_an_alert_that_nobody_states_any_more_ends() -> None:
    wall = Wall()
    alerts = FakeAlertRegistry(monotonic=wall)
    expiry = AlertExpiry(alerts, FakeClock(NOW))
    alerts.state("disk_filling", {"host-1": "x"}, observer="host-1, pid 7", at=NOW)
    begin_alert(alerts, "ledger_mismatch", "verification", "x", at=NOW)
    wall.now_s += SILENT_S - 1.0
    expiry.check()
    assert alerts.open_by_name() == {"disk_filling": 1, "ledger_mismatch": 1}
    wall.now_s += 1.0
    expiry.check()
    assert alerts.open_by_name() == {"ledger_mismatch": 1}


class Ending:
    """Certificates of which one ends today."""

    def ends(self) -> list[tuple[str, object]]:
        return [("nats", NOW)]


def test_a_certificate_keeps_its_alert_while_a_process_reads_it_and_three_minutes_more() -> None:
    wall, clock = Wall(), FakeClock(NOW)
    alerts = FakeAlertRegistry(monotonic=wall)
    monitor = CertificateMonitor(Ending(), alerts, clock, clock)  # type: ignore[arg-type] # its times are not compared
    monitor.check()
    for _ in range(3):
        wall.now_s += CERTIFICATES_EVERY_S
        AlertExpiry(alerts, clock).check()
        monitor.check()
    assert alerts.open_by_name() == {EXPIRING: 1}
    assert len(alerts.listed(include_cleared=True)) == 1
    wall.now_s += SILENT_S  # the process was restarted with another file
    AlertExpiry(alerts, clock).check()
    assert alerts.listed() == []


def test_a_process_that_was_restarted_is_alerted_for_a_quarter_of_an_hour() -> None:
    wall = Wall()
    alerts = FakeAlertRegistry(monotonic=wall)
    state = partial(alerts.state, RESTARTED, observer="supervisor of relay", holds_s=RESTARTED_FOR_S)
    state({"relay": "ended with 1"}, at=NOW)
    wall.now_s += 600.0
    state({"relay": "ended with 9"}, at=NOW)  # once more
    wall.now_s += 899.0
    AlertExpiry(alerts, FakeClock(NOW)).check()
    assert [alert.detail for alert in alerts.listed()] == ["ended with 9"]
    wall.now_s += 1.0
    AlertExpiry(alerts, FakeClock(NOW)).check()
    assert alerts.listed() == []

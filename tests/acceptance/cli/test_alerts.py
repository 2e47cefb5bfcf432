"""`gridproof alerts` on a real database."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from interfaces.bootstrap import open_stores
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import Terminal
from tests.open_alerts import begin_alert
from tests.servers import Database


def test_an_alert_is_listed_acknowledged_and_cleared_and_each_is_an_act(
    database: Database, tmp_path: Path
) -> None:
    terminal = Terminal(database, tmp_path)
    assert "no alert is open" in terminal.run("alerts", "list").output
    with closing(open_stores(read_settings(terminal.environ), pool_size=1)) as stores:
        begin_alert(stores.alerts(), "bms_drift", "fac-001", "not as commanded", at=datetime.now(UTC))
    [alert] = terminal.document("alerts", "list")["alerts"]
    assert (alert["name"], alert["severity"], alert["acknowledged_at"]) == ("bms_drift", "warning", None)

    acknowledged = terminal.document("alerts", "acknowledge", alert["alert_id"])
    assert acknowledged["acknowledgement"] == "being looked after"
    assert "acknowledged by operator:cli/" in " ".join(terminal.run("alerts", "list").output.split())
    refused = terminal.run("alerts", "acknowledge", alert["alert_id"])
    assert (refused.exit_code, "is acknowledged already" in refused.output) == (1, True)

    assert terminal.run("alerts", "clear", alert["alert_id"]).exit_code == 2, "a reason is needed"
    ended = terminal.document("alerts", "clear", alert["alert_id"], "--reason", "taken away")
    assert (ended["clear_reason"], ended["cleared_by"]) == ("taken away", acknowledged["acknowledged_by"])
    assert terminal.document("alerts", "list")["alerts"] == []
    [found] = terminal.document("alerts", "list", "--all")["alerts"]
    assert found["clear_reason"] == "taken away"
    missing = terminal.run("alerts", "clear", 4_711, "--reason", "x")
    assert (missing.exit_code, "no alert 4711" in missing.output) == (1, True)

    acts = terminal.run("audit", "administration").output
    assert f"alert {alert['alert_id']} cleared by hand: bms_drift" in " ".join(acts.split())
    assert f"alert {alert['alert_id']} acknowledged: bms_drift" in " ".join(acts.split())

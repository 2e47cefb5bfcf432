"""`gridproof keys meters`, as an operator uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.embedded import EmbeddedServers
from adapters.postgres.operations.act_log import PostgresActLog
from application.ports.operations.unavailable import OperationsUnavailable
from tests.acceptance.cli.terminal import Terminal
from tests.patience import START_S
from tests.servers import Database


def gridproof(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "keys", "meters", *arguments],
        env={"PATH": "/usr/bin:/bin", "GRIDPROOF_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def test_a_login_is_created_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, valkey=False) as servers:
        unseen = gridproof(tmp_path, "create", "fac-001")
        assert unseen.returncode == 1
        assert "--allow-unknown" in unseen.stderr, "the database does not run"
        made = json.loads(gridproof(tmp_path, "create", "fac-001", "--allow-unknown", "--json").stdout)
        assert (made["user"], made["port"]) == ("fac-001", servers.nats.ports["mqtt"])
        listed = gridproof(tmp_path, "list")
        assert listed.stdout.split() == ["fac-001"]
        assert made["password"] not in listed.stdout + listed.stderr
        unrecorded = gridproof(tmp_path, "create", "fac-002", "--allow-unknown")
        assert unrecorded.returncode == 0
        assert "not recorded for the audit" in unrecorded.stderr
        assert gridproof(tmp_path, "revoke", "fac-002").returncode == 0
        again = gridproof(tmp_path, "create", "fac-001", "--allow-unknown")
        assert again.returncode == 1
        assert "revoke it for another password" in again.stderr
        assert gridproof(tmp_path, "revoke", "fac-001").returncode == 0
        assert json.loads(gridproof(tmp_path, "list", "--json").stdout) == {"facility_ids": []}


def test_without_an_embedded_broker_it_explains_where_to_create_logins(tmp_path: Path) -> None:
    refused = gridproof(tmp_path, "create", "fac-001", GRIDPROOF_MQTT_URL="mqtts://broker.example:8883")
    assert refused.returncode == 1
    assert "docs/guides/meters.md" in refused.stderr
    never = gridproof(tmp_path, "list")
    assert never.returncode == 1
    assert "gridproof up" in never.stderr


def test_a_facility_that_the_portfolio_does_not_have_gets_no_login_by_mistake(
    tmp_path: Path, database: Database
) -> None:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    with EmbeddedServers(tmp_path / "data", postgres=False, valkey=False):
        mistyped = terminal.run("keys", "meters", "create", "fac-01")
        assert mistyped.exit_code == 2
        assert "did you mean fac-001" in mistyped.stderr or "register it first" in mistyped.stderr
        assert terminal.document("keys", "meters", "list") == {"facility_ids": []}
        # The read model is not made yet: the log says that it is registered.
        assert terminal.document("keys", "meters", "create", "fac-001")["user"] == "fac-001"
        terminal.project()
        assert "did you mean fac-00" in terminal.run("keys", "meters", "create", "fac-01").stderr
        assert (
            terminal.document("keys", "meters", "create", "fac-900", "--allow-unknown")["user"] == "fac-900"
        )
        assert terminal.run("keys", "meters", "create", "fac-001").exit_code == 1  # it has one
        assert terminal.run("keys", "meters", "revoke", "fac-001").exit_code == 0
        assert terminal.run("keys", "meters", "revoke", "fac-002").exit_code == 1  # it has none
        acts = terminal.document("audit", "administration", "--kind", "access")["acts"]
        assert [(act["what"], act["facility_ids"]) for act in acts] == [
            ("login of the meters of facility fac-001 revoked", ["fac-001"]),
            ("login of the meters of facility fac-900 created", ["fac-900"]),
            ("login of the meters of facility fac-001 created", ["fac-001"]),
        ]
        assert all(act["who"].startswith("operator:cli/") for act in acts)


def test_a_login_that_cannot_be_recorded_is_taken_back(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: object, acts: object) -> int:
        raise OperationsUnavailable("the store is away")

    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    monkeypatch.setattr(PostgresActLog, "record", refused)
    with EmbeddedServers(tmp_path / "data", postgres=False, valkey=False):
        assert "the store is away" in terminal.run("keys", "meters", "create", "fac-001").stderr
        assert terminal.document("keys", "meters", "list") == {"facility_ids": []}


def test_a_key_for_an_id_that_nobody_has_is_refused(tmp_path: Path, database: Database) -> None:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    mistyped = terminal.run("keys", "create", "--role", "utility", "--utility", "citypower")
    assert mistyped.exit_code == 2
    assert "did you mean city-power?" in mistyped.stderr
    nobody = terminal.run("keys", "create", "--role", "dashboard", "--facility", "nobody")
    assert nobody.exit_code == 2
    assert "the portfolio has no facility 'nobody'" in nobody.stderr
    made = terminal.document(
        "keys", "create", "--role", "utility", "--utility", "city-power", "--name", "webhook"
    )
    [listed] = terminal.document("keys", "list")["keys"]
    assert (listed["key_id"], listed["name"], listed["last_used_at"]) == (made["key_id"], "webhook", None)
    assert "used never  webhook" in terminal.run("keys", "list").stdout

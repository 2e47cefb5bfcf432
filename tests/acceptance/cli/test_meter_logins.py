"""`gridproof keys meters`, as an operator uses it."""

import json
import subprocess
import sys
from pathlib import Path

from adapters.embedded import EmbeddedServers


def gridproof(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "keys", "meters", *arguments],
        env={"PATH": "/usr/bin:/bin", "GRIDPROOF_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_login_is_created_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, valkey=False) as servers:
        made = json.loads(gridproof(tmp_path, "create", "fac-001", "--json").stdout)
        assert (made["user"], made["port"]) == ("fac-001", servers.nats.ports["mqtt"])
        listed = gridproof(tmp_path, "list")
        assert listed.stdout.split() == ["fac-001"]
        assert made["password"] not in listed.stdout + listed.stderr
        again = gridproof(tmp_path, "create", "fac-001")
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

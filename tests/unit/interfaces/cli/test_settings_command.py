"""`gridproof settings`: values, where they came from, and nothing that is secret."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from interfaces.cli import main
from tests.architecture.source_tree import ROOT
from tests.patience import START_S


def settings_of(*options: str, **environ: str) -> dict[str, Any]:
    """In a process of its own: `--env-file` changes the environment."""
    done = subprocess.run(
        [sys.executable, "-m", "interfaces.cli", *options, "settings", "--json"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environ},
        cwd=ROOT,
        capture_output=True,
        timeout=START_S,
        check=True,
    )
    return {one["name"]: one for one in json.loads(done.stdout)["settings"]}


def test_each_setting_has_its_value_its_default_and_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("GRIDPROOF_LOG_DAYS=12\nGRIDPROOF_LOG_LEVEL=debug\n")
    file.chmod(0o600)

    found = settings_of(
        "--env-file", str(file), GRIDPROOF_LOG_LEVEL="error", GRIDPROOF_BMS_MAX_CONCURRENT="7"
    )

    shown = {name: (found[f"GRIDPROOF_{name}"]["value"], found[f"GRIDPROOF_{name}"]["origin"]) for name in (
        "LOG_DAYS", "LOG_LEVEL", "BMS_MAX_CONCURRENT", "HTTP_BIND", "NATS_URL"
    )}  # fmt: skip
    assert shown == {
        "LOG_DAYS": ("12", f"file {file}"),
        "LOG_LEVEL": ("error", "environment"),
        "BMS_MAX_CONCURRENT": ("7", "environment"),
        "HTTP_BIND": ("127.0.0.1:8080", "default"),
        "NATS_URL": (None, "default"),
    }
    assert found["GRIDPROOF_LOG_DAYS"]["default"] == "30"


def test_a_value_of_a_file_that_is_read_by_default_says_so(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "gridproof" / "gridproof.env"
    file.parent.mkdir(parents=True)
    file.write_text("GRIDPROOF_LOG_DAYS=12\n")
    file.chmod(0o600)

    by_default = settings_of(HOME=str(tmp_path))["GRIDPROOF_LOG_DAYS"]
    named = tmp_path / "empty.env"
    named.write_text("")
    without = settings_of("--env-file", str(named), HOME=str(tmp_path))["GRIDPROOF_LOG_DAYS"]

    assert (by_default["value"], by_default["origin"]) == ("12", "a file in its default place")
    assert (without["value"], without["origin"]) == ("30", "default")


def test_a_value_of_a_file_in_its_default_place_says_so(tmp_path: Path) -> None:
    file = tmp_path / "gridproof" / "gridproof.env"
    file.parent.mkdir()
    file.write_text("GRIDPROOF_LOG_DAYS=12\n")
    file.chmod(0o600)

    found = settings_of(XDG_CONFIG_HOME=str(tmp_path), GRIDPROOF_DATA_DIR=str(tmp_path / "data"))

    assert (found["GRIDPROOF_LOG_DAYS"]["value"], found["GRIDPROOF_LOG_DAYS"]["origin"]) == (
        "12",
        "a file in its default place",
    )
    assert found["GRIDPROOF_DATA_DIR"]["origin"] == "environment"


def test_no_secret_is_shown() -> None:
    environ = {
        "GRIDPROOF_DATABASE_URL": "postgresql://app:hunter2@db/gridproof",
        "GRIDPROOF_REDIS_URL": "redis://cache?password=hunter3",
        "GRIDPROOF_INFLUX_TOKEN": "hunter4",
        "GRIDPROOF_LEDGER_KEY": "file:/etc/gridproof/ledger.pem",
    }
    found = settings_of(**environ)

    assert "hunter" not in json.dumps(found)
    assert found["GRIDPROOF_DATABASE_URL"]["value"] == "postgresql://***@db/gridproof"
    assert found["GRIDPROOF_INFLUX_TOKEN"]["value"] == "***"
    assert found["GRIDPROOF_LEDGER_KEY"]["value"] == "file:/etc/gridproof/ledger.pem"


def test_the_table_may_have_only_what_was_set() -> None:
    result = CliRunner(env={"GRIDPROOF_LOG_DAYS": "12"}).invoke(main, ["settings", "--changed"])

    assert "GRIDPROOF_LOG_DAYS" in result.output
    assert "GRIDPROOF_LOG_LEVEL" not in result.output

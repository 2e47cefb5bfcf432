"""`gridproof doctor`, and the messages of every command without a system, without a schema or with a wrong setting."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg_pool import ConnectionPool

from adapters.embedded import EmbeddedServers
from adapters.postgres.operations.alerts import PostgresAlerts
from application.weather.requirements import NO_SERVICE
from interfaces.bootstrap import ask_web
from interfaces.cli import main
from tests.acceptance.cli.terminal import Terminal, until
from tests.http_answers import answering
from tests.open_alerts import begin_alert
from tests.patience import START_S
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


def test_the_doctor_reports_a_healthy_system(
    database: Database, tmp_path: Path, nats_server: EmbeddedServers, valkey_server: EmbeddedServers
) -> None:
    terminal = Terminal(database, tmp_path, nats_server.nats_url)
    environ = {
        "GRIDPROOF_MQTT_URL": nats_server.mqtt_url,
        "GRIDPROOF_REDIS_URL": valkey_server.redis_url,
        "GRIDPROOF_WEATHER_KEY": "env:GRIDPROOF_SECRET_WEATHER",
        "GRIDPROOF_SECRET_WEATHER": "9f8e7d6c5b4a",
    }

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environ["GRIDPROOF_HTTP_BIND"] = bind = f"127.0.0.1:{free.getsockname()[1]}"
    with terminal.worker("web", GRIDPROOF_HTTP_BIND=bind):
        until(lambda: serves(f"http://{bind}"))
        result = terminal.run("doctor", "--json", environ=environ)
    gone = json.loads(terminal.run("doctor", "--json", environ=environ).stdout)["checks"]

    found = json.loads(result.stdout)
    # The disk of the machine that runs the tests may be full.
    wrong = {check["check"]: check["detail"] for check in found["checks"] if check["state"] == "wrong"}
    assert set(wrong) <= {"disk", "postgresql disk", "nats disk"}, wrong
    states = {check["check"]: check["state"] for check in found["checks"]}
    reached = ("postgresql", "migrations", "clock", "projections", "nats", "mqtt", "cache", "weather", "web")
    assert {states[name] for name in reached} == {"ok"}
    for_failovers = ("timelines", "standbys", "keepalives", "read replica")
    assert [states[name] for name in for_failovers] == ["ok", "ok", "ok", "not set"]
    assert {"nats clock", "streams", "nats disk", "postgresql disk", "certificates", "bms"} <= states.keys()
    assert "9f8e7d6c5b4a" not in result.output
    assert result.exit_code == (3 if wrong else 0)
    assert [one["state"] for one in gone if one["check"] == "web"] == ["wrong"]


def serves(url: str) -> bool:
    with suppress(OSError):
        return ask_web(url, within_s=10).status == 200
    return False


def test_the_doctor_fails_for_a_web_of_another_system_and_for_buildings_out_of_reach(
    terminal: Terminal,
) -> None:
    terminal.import_portfolio()
    terminal.project()
    with answering(200, b'{"status": "ready", "system": "another"}') as address:
        found = terminal.document("doctor", exit_code=3, environ={"GRIDPROOF_HTTP_BIND": address})

    checks = {one["check"]: one for one in found["checks"]}
    assert (checks["web"]["state"], checks["bms"]["state"]) == ("wrong", "wrong")
    assert "something else answers" in checks["web"]["detail"]
    assert checks["bms"]["facts"]["addresses"] == 3
    assert "fac-001 (" in checks["bms"]["detail"]
    assert (checks["meters"]["state"], checks["meters"]["facts"]["silent"][0]) == ("warning", "fac-001/main")


def test_an_open_alert_of_the_severity_page_or_critical_fails(terminal: Terminal) -> None:
    with ConnectionPool[Any](terminal.database.app_dsn, min_size=1, max_size=1) as pool:
        begin_alert(PostgresAlerts(pool), "restore_failing", "fac-001", "zone-1", at=datetime.now(UTC))
    found = json.loads(terminal.run("doctor", "--json").stdout)["checks"]

    [alerts] = [one for one in found if one["check"] == "alerts"]
    assert alerts["state"] == "wrong"
    assert "restore_failing fac-001" in alerts["detail"]


def test_the_doctor_reports_each_problem_with_a_remedy(terminal: Terminal) -> None:
    environ = {"GRIDPROOF_NATS_URL": "nats://127.0.0.1:1", "GRIDPROOF_REDIS_URL": "redis://127.0.0.1:1"}

    result = terminal.run("doctor", environ=environ)

    assert result.exit_code == 3
    assert "nats: check GRIDPROOF_NATS_URL" in result.stderr
    assert "cache: check GRIDPROOF_REDIS_URL" in result.stderr


def test_the_doctor_warns_of_standbys_and_replicas_that_are_missing(terminal: Terminal) -> None:
    environ = {
        "GRIDPROOF_DATABASE_STANDBYS": "1",
        "GRIDPROOF_DATABASE_REPLICA_URL": "postgresql://app@127.0.0.1:1/gridproof",
    }

    result = terminal.run("doctor", environ=environ)

    assert (
        "standbys: see docs/runbooks/no_synchronous_standby.md; see docs/runbooks/standby_lost.md"
        in result.stderr
    )
    assert "read replica: see docs/runbooks/replica_not_current.md" in result.stderr


def test_the_doctor_says_what_follows_without_weather(terminal: Terminal) -> None:
    terminal.import_portfolio()
    terminal.project()
    key = {"GRIDPROOF_WEATHER_KEY": "env:GRIDPROOF_SECRET_WEATHER", "GRIDPROOF_SECRET_WEATHER": "9f8e"}

    def rows(environ: dict[str, str]) -> dict[str, dict[str, str]]:
        found = json.loads(terminal.run("doctor", "--json", environ=environ).stdout)
        return {check["check"]: check for check in found["checks"]}

    none = rows({"GRIDPROOF_WEATHER_URL": ""})["weather"]
    assert (none["state"], none["detail"]) == ("warning", f"not set; {NO_SERVICE}")
    assert "every forecast is degraded; programs with guardrail block will not dispatch" in none["detail"]
    assert "GRIDPROOF_WEATHER_URL" in none["advice"]
    by_place = rows(key)
    assert by_place["weather"]["state"] == "ok"
    assert by_place["weather cells"]["state"] == "warning"
    assert "weather cell default: no facility there has coordinates" in by_place["weather cells"]["detail"]
    assert rows({"GRIDPROOF_WEATHER_URL": "http://127.0.0.1:1"})["weather cells"]["state"] == "ok"


def test_the_doctor_reports_that_no_system_is_running(tmp_path: Path) -> None:
    nowhere = CliRunner(env={"GRIDPROOF_DATA_DIR": str(tmp_path)})

    result = nowhere.invoke(main, ["doctor"], catch_exceptions=False)

    assert result.exit_code == 3
    assert "gridproof up" in result.stderr


def test_a_command_without_a_running_system_explains_how_to_start_one(tmp_path: Path) -> None:
    nowhere = CliRunner(env={"GRIDPROOF_DATA_DIR": str(tmp_path)})

    result = nowhere.invoke(main, ["dr-events", "list"], catch_exceptions=False)

    assert result.exit_code == 1
    assert "gridproof up" in result.stderr


def test_all_wrong_settings_are_reported_together(terminal: Terminal) -> None:
    environ = {"GRIDPROOF_QUEUE_DEPTH": "many", "GRIDPROOF_LOG_LEVEL": "loud", "GRIDPROOF_DATABAS_URL": "x"}

    result = terminal.run("dead-letters", "list", environ=environ)

    assert result.exit_code == 2
    for name in environ:
        assert name in result.stderr


def test_a_separate_process_reads_its_settings_from_a_file(terminal: Terminal) -> None:
    env_file = terminal.folder / "production.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in terminal.environ.items()))
    bare = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}

    def gridproof(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interfaces.cli", *arguments]
        return subprocess.run(command, env=bare, capture_output=True, text=True, timeout=START_S, check=False)

    listed = gridproof("--env-file", str(env_file), "keys", "list", "--json")
    created = gridproof("--env-file", str(env_file), "keys", "create", "--role", "operator", "--json")
    absent = gridproof("--env-file", str(env_file) + "x", "keys", "list")

    assert (listed.returncode, created.returncode, absent.returncode) == (0, 0, 2)
    assert json.loads(listed.stdout) == {"keys": []}
    assert "production.envx" in absent.stderr


def test_a_store_without_its_schema_is_reported_with_the_command_to_run(
    empty_database: Database, tmp_path: Path
) -> None:
    result = Terminal(empty_database, tmp_path).run("dead-letters", "list")

    assert result.exit_code == 1
    assert "gridproof migrate" in result.stderr


def test_an_unreachable_database_is_reported_with_the_command_to_diagnose_it(terminal: Terminal) -> None:
    away = {"GRIDPROOF_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}

    result = terminal.run("facilities", "list", environ=away)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "gridproof doctor" in result.stderr

"""`gridproof capacity` needs no running system, and answers people and programs."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from interfaces.cli import main
from interfaces.cli.capacity import SHOWN_LIMITS


def run(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    runner = CliRunner(
        env={"GRIDPROOF_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", **(environ or {})}
    )
    return runner.invoke(main, ["capacity", *arguments], catch_exceptions=False)


def document(*arguments: str, environ: dict[str, str] | None = None) -> dict[str, Any]:
    result = run("--facilities", "200", "--meters", "2000", *arguments, "--json", environ=environ)
    assert result.exit_code == 0
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_document_names_everything_that_a_system_needs() -> None:
    found = document()
    assert found["load"] == {"facilities": 200, "meters": 2000, "dr_events_per_year": 60, "users": 20}
    assert {"web", "ingest", "project"} <= found["processes"].keys()
    assert {"postgres", "nats", "valkey"} == found["servers"].keys()
    assert found["connections"]["budget"] < found["connections"]["max_connections"]
    assert [stream["name"] for stream in found["streams"]] == ["TELEMETRY"]
    assert {"domain events", "forecasts", "readings", "raw archive"} <= found["disk"]["a_day"].keys()
    assert {"PostgreSQL", "NATS", "backups"} <= found["disk"]["held"].keys()
    assert found["limits"][0]["facilities"] <= found["limits"][1]["facilities"]
    assert all(limit["action"] for limit in found["limits"])


def test_people_see_the_limit_that_comes_first_and_what_to_do() -> None:
    result = run("--facilities", "200", "--meters", "2000")
    assert result.exit_code == 0
    first, *others = document()["limits"]
    assert f"{first['name']} comes first: {first['action']}." in result.stdout
    assert "130" in result.stdout, "connections of a default system"
    rows = [line.strip() for line in result.stdout.partition("reached at")[2].splitlines()]
    shown = [one["name"] for one in others if any(row.startswith(f"{one['name']} ") for row in rows)]
    assert shown == [one["name"] for one in others[: SHOWN_LIMITS - 1]]


def test_a_limit_that_is_exceeded_is_said_so() -> None:
    assert "is exceeded: " in run("--facilities", "5000000", "--meters", "50000000").stdout


def test_the_settings_say_how_long_readings_stay() -> None:
    shorter = document(environ={"GRIDPROOF_TELEMETRY_RAW_DAYS": "15"})
    assert shorter["retention"]["readings"] == 15
    assert shorter["disk"]["held"]["PostgreSQL"] < document()["disk"]["held"]["PostgreSQL"]


@pytest.mark.parametrize(
    "arguments",
    [("--facilities", "0", "--meters", "1"), ("--meters", "1"), ("--facilities", "1", "--meters", "-1")],
)
def test_a_load_without_meaning_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2

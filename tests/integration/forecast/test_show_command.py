"""`gridproof forecast show` on its own database, with the settings of a user."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.clock import SystemClock
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.forecasts import Forecasts
from domain.forecast import CYCLE, cycle_start_of
from tests.acceptance.cli.terminal import Terminal
from tests.issued_forecasts import issued_forecast
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    store = PostgresEventStore(Forecasts, database.app_dsn)
    latest = cycle_start_of(SystemClock().now())
    for cycles_ago in (1, 2, 6):
        store.save([issued_forecast("fac-001", latest - CYCLE * cycles_ago, 100.0 - cycles_ago)])
    store.close()
    return Terminal(database, tmp_path)


def test_show_selects_the_newest_forecast_as_of_a_time_and_by_lead_time(terminal: Terminal) -> None:
    newest = terminal.document("forecast", "show", "fac-001")
    latest = datetime.fromisoformat(newest["cycle_start"]) + CYCLE
    assert (newest["steps"][0]["kw"]["p50"], newest["data_quality"], newest["model"]["name"]) == (
        99.0,
        "full",
        "towt",
    )
    as_of = (latest - CYCLE * 2 + timedelta(minutes=5)).isoformat()
    assert terminal.document("forecast", "show", "fac-001", "--as-of", as_of)["steps"][0]["kw"]["p50"] == 98.0
    window = ("--from", (latest - CYCLE * 2).isoformat(), "--to", latest.isoformat())
    ahead = terminal.document("forecast", "show", "fac-001", "--lead-time-h", "1", *window)
    assert [step["kw"] and step["kw"]["p50"] for step in ahead["steps"]] == [94.0, None]
    shown = terminal.run("forecast", "show", "fac-001")
    assert "quality as issued" in shown.stdout
    shown = terminal.run("forecast", "show", "fac-001", "--lead-time-h", "1", *window)
    assert "no forecast" in shown.stdout


def test_a_missing_forecast_or_an_invalid_argument_is_reported_with_advice(terminal: Terminal) -> None:
    missing = terminal.run("forecast", "show", "fac-009")
    assert missing.exit_code == 1
    assert "gridproof facilities list" in missing.stderr
    long_ago = ("--lead-time-h", "1", "--from", "0001-01-01T00:00:00Z", "--to", "0001-01-01T01:00:00Z")
    refused = terminal.run("forecast", "show", "fac-001", *long_ago)
    assert (refused.exit_code, "in the years 2000 to 2199" in refused.stderr) == (2, True)
    alone = terminal.run("forecast", "show", "fac-001", "--lead-time-h", "1")
    assert alone.exit_code == 2
    assert "give all three" in alone.stderr

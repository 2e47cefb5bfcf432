"""`gridproof forecast run` on its own database, with the settings of a user."""

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ImportedIntervals
from application.weather.requirements import NO_SERVICE
from domain.forecast import cycle_start_of
from interfaces.bootstrap import open_stores
from interfaces.bootstrap.forecast import forecast_sites
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import PORTFOLIO, Terminal, changed
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    return terminal


def import_history(terminal: Terminal, facility_ids: Sequence[str], days: int = 15) -> None:
    """Import a constant history up to an hour after the cycle start, so that the time of the test does not matter."""
    clock = SystemClock()
    last_s = int((cycle_start_of(clock.now()) + timedelta(hours=1)).timestamp())
    starts_s = np.arange(last_s - days * 86_400, last_s, 900)
    times, count = len(facility_ids), len(starts_s)
    intervals = ImportedIntervals(
        tuple(facility_ids),
        np.repeat(np.arange(times), count),
        np.tile(starts_s, times),
        np.full(times * count, 900),
        np.full(times * count, 50.0),
        np.full(times * count, np.nan),
    )
    with ConnectionPool[Any](terminal.database.app_dsn, min_size=1, max_size=1) as pool:
        PostgresTelemetryStore(pool, clock).import_intervals(intervals)


def test_a_cycle_is_run_and_reported(terminal: Terminal) -> None:
    import_history(terminal, ["fac-001", "fac-002"])
    report = terminal.document("forecast", "run")
    assert report["issued"] == ["fac-001", "fac-002"]
    assert report["degraded"] == {"fac-001": "degraded_no_weather", "fac-002": "degraded_no_weather"}
    assert "nothing was ever metered" in report["refused"]["fac-003"]
    with ConnectionPool[Any](terminal.database.app_dsn, min_size=1, max_size=1) as pool:
        found = PostgresForecastBook(pool).newest("fac-001", at=SystemClock().now())
    assert found is not None
    assert {step.p50_kw for step in found.steps} == {50.0}


def test_models_are_trained_on_request(terminal: Terminal) -> None:
    import_history(terminal, ["fac-001", "fac-002"])
    report = terminal.document("forecast", "train", "--facility", "fac-001", "--facility", "fac-003")
    assert {one: found["uses_weather"] for one, found in report["trained"].items()} == {"fac-001": False}
    assert "nothing was ever metered" in report["refused"]["fac-003"]
    result = terminal.run("forecast", "train", "--facility", "fac-002")
    assert (result.exit_code, "naive" in result.stdout, NO_SERVICE in result.stderr) == (0, True, True)
    assert "no facility nobody" in terminal.run("forecast", "train", "--facility", "nobody").stderr
    assert terminal.run("forecast", "train", "--facility", "fac-003").exit_code == 1


def test_a_run_leaves_no_connection_open(terminal: Terminal) -> None:
    """The threads of a pool end when the pool is closed."""
    before = set(threading.enumerate())
    terminal.run("forecast", "run")
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()


def test_only_the_requested_facility_is_forecast(terminal: Terminal) -> None:
    import_history(terminal, ["fac-001", "fac-002"])
    assert terminal.document("forecast", "run", "--facility", "fac-002")["issued"] == ["fac-002"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--facility", "nobody"], 1, "no facility nobody"),
        (["--at", "2999-01-01T00:00:00Z"], 2, "--at is in the future"),
        ([], 1, "no facility has a forecast for that cycle"),
    ],
    ids=["unknown facility", "future", "no telemetry"],
)
def test_an_impossible_run_is_refused_with_the_reason(
    terminal: Terminal, arguments: list[str], status: int, says: str
) -> None:
    result = terminal.run("forecast", "run", *arguments)
    assert result.exit_code == status
    assert says in result.stderr


def test_a_facility_has_the_holiday_region_of_the_portfolio(terminal: Terminal) -> None:
    in_california = changed(PORTFOLIO, ["facilities", 0, "region"], "US-CA")
    assert terminal.run("facilities", "import", terminal.file(in_california)).exit_code == 0
    for no_region in ("California", "US-CA\n"):
        nowhere = terminal.run(
            "facilities",
            "import",
            terminal.file(changed(in_california, ["facilities", 1, "region"], no_region)),
        )
        assert nowhere.exit_code == 1
        assert "facilities[1].region" in nowhere.output
    terminal.project()
    with closing(open_stores(read_settings(terminal.environ), pool_size=1)) as stores:
        regions = {site.facility_id: site.region for site in forecast_sites(stores)}
    assert regions == {"fac-001": "US-CA", "fac-002": None, "fac-003": None}

"""`gridproof settlement` on the running system's database: settle, show, export, and compute the same from files."""

import json
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from msgspec.structs import replace

from adapters.clock import SystemClock
from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.program import BaselineTerms
from domain.program.settlement_rule import Energy, SettlementRule
from tests.acceptance.cli.terminal import Terminal
from tests.integration.projections.stored_log import store_entries
from tests.measured_portfolio import MeasuredPortfolio, measured_portfolio, meter, terms
from tests.servers import Database

RULE = SettlementRule(currency="USD", energy=Energy(rate="1.50"))
BASELINE = BaselineTerms(method="high-5-of-10")

_CONTINUE = "SELECT setval(pg_get_serial_sequence('gridproof.demand_response_events', 'notification_id'), %s)"
"""What is recorded next comes after the stored entries."""


@pytest.fixture
def portfolio() -> MeasuredPortfolio:
    agreed = replace(terms(BASELINE, None), settlement=RULE)
    return measured_portfolio(baseline=BASELINE, recorded_terms=agreed, facilities=2)


@pytest.fixture
def terminal(database: Database, tmp_path: Path, portfolio: MeasuredPortfolio) -> Terminal:
    store_entries(database.admin_dsn, portfolio.walk.entries)
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute(_CONTINUE, (portfolio.walk.log.head(),))
    with PostgresPool(database.app_dsn, min_size=1, max_size=2, timeout=10) as pool:
        telemetry = cast("Any", PostgresTelemetryStore(pool, SystemClock()))
        for number, facility_id in enumerate(portfolio.walk.facilities):
            meter(telemetry, facility_id, 500.0 + 100.0 * number)
    made = Terminal(database, tmp_path)
    made.project()
    return made


def test_an_exported_settlement_is_computed_again_from_its_files(terminal: Terminal, tmp_path: Path) -> None:
    settled = terminal.document("settlement", "run", "UTIL-1", "--reason", "asked for by phone")
    terminal.project()
    shown = terminal.document("settlement", "show", "UTIL-1")
    assert (settled["revision"], settled["recorded"]) == (0, True)
    assert settled["figures"]["total"] == shown["total"] != "0.00"

    folder = tmp_path / "exported"
    assert terminal.run("settlement", "export", "UTIL-1", "--out", folder).exit_code == 0
    files = {name: folder / f"{name}.json" for name in ("program", "event")}
    computed = terminal.document(
        *("settlement", "compute", "--readings", folder / "readings.csv"),
        *("--program", files["program"], "--event", files["event"]),
    )["settlements"][0]
    stored = json.loads((folder / "settlement-0.json").read_bytes())
    for member in ("units", "lines", "total", "performance", "status"):
        assert computed[member] == stored[member]

    page = tmp_path / "july.html"
    month = ("--program", "summer-peak", "--period", "2026-07", "--utility")
    assert terminal.run("settlement", "statement", *month, "--format", "html", "--out", page).exit_code == 0
    assert shown["total"] in page.read_text()

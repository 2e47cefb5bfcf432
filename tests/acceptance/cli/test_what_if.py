"""`gridproof audit what-if` on a real log: it answers and writes nothing."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.intervals import INTERVAL
from interfaces.bootstrap.offline import opened_history
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import Terminal
from tests.integration.projections.stored_log import store_entries
from tests.property.projections.projected_logs import PortfolioWalk
from tests.sample_values import ENDS_AT, STARTS_AT, UTILITY_EVENT
from tests.servers import Database
from tests.settled_log import entries_of, readings, settled_system

_EVERYTHING = """
SELECT format('%s %s', c.relname, pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
    + pg_stat_get_tuples_deleted(c.oid))
FROM pg_class c WHERE c.relnamespace = 'gridproof'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""


@pytest.fixture
def walk() -> PortfolioWalk:
    made = PortfolioWalk()
    made.happy()
    return made


@pytest.fixture
def terminal(database: Database, tmp_path: Path, walk: PortfolioWalk) -> Terminal:
    store_entries(database.admin_dsn, walk.entries)
    return Terminal(database, tmp_path)


def written(database: Database) -> list[str]:
    """The number of rows ever written, by table."""
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        return [row[0] for row in connection.execute(_EVERYTHING)]


def test_recorded_and_hypothetical_results_are_shown_and_nothing_is_written(
    terminal: Terminal, walk: PortfolioWalk
) -> None:
    before = written(terminal.database)

    found = terminal.document("audit", "what-if", "UTIL-1", "--without", "fac-002", "--target-kw", "20")
    shown = terminal.run("audit", "what-if", "UTIL-1", "--policy", "reallocate", "--allocation", "equal")

    assert found["position"] == walk.log.head()
    assert found["change"]["without"] == ["fac-002"]
    by_id = {item["facility_id"]: item for item in found["facilities"]}
    assert by_id["fac-002"]["recorded"]["outcome"] == "served"
    assert by_id["fac-002"]["hypothetical"] == {
        "outcome": "left_out", "target_kw": 0.0, "delivered_kw": 0.0, "why": None,
    }  # fmt: skip
    assert by_id["fac-001"]["hypothetical"]["target_kw"] == pytest.approx(10.0)
    assert found["hypothetical"]["planned_kw"] == pytest.approx(20.0)
    assert found["recorded"]["planned_kw"] == pytest.approx(30.3)
    assert (shown.exit_code, "what if" in shown.stdout, "fac-003" in shown.stdout) == (0, True, True)
    assert len(before) > 10
    assert written(terminal.database) == before


def test_the_connection_of_a_what_if_is_read_only(terminal: Terminal) -> None:
    with opened_history(read_settings(terminal.environ)) as history, history.pool.connection() as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(
                "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state) "
                "VALUES (gen_random_uuid(), 1, 'x.y.v1', '')"
            )
        connection.rollback()
    with (
        opened_history(read_settings(terminal.environ)) as history,
        pytest.raises(Exception, match="read-only"),
    ):
        history.telemetry.prepare_days(PortfolioWalk().now, PortfolioWalk().now + INTERVAL)


def test_another_baseline_without_readings_gives_an_unknown_result(terminal: Terminal) -> None:
    found = terminal.document("audit", "what-if", "UTIL-1", "--baseline", "high-4-of-5")
    assert found["recorded"]["delivered_kw"] is not None
    assert found["hypothetical"]["delivered_kw"] is None
    assert found["hypothetical"]["unmeasured_facilities"] == ["fac-001", "fac-002", "fac-003"]
    assert {item["same_readings"] for item in found["remeasured"].values()} == {False}
    assert all(item["why"] for item in found["remeasured"].values())


def test_amounts_are_shown_beside_the_settlement_in_force_and_nothing_is_written(
    database: Database, tmp_path: Path
) -> None:
    store_entries(database.admin_dsn, entries_of(settled_system()))
    rule = tmp_path / "rule.json"
    rule.write_text('{"schema": "settlement-rule/1", "currency": "USD", "energy": {"rate": "3.00"}}')
    terminal = Terminal(database, tmp_path)
    before = written(database)

    found = terminal.document("audit", "what-if", UTILITY_EVENT, "--rule", str(rule), "--without", "fac-002")
    shown = terminal.run("audit", "what-if", UTILITY_EVENT, "--programme", "psegli-csrp")
    other_plan = terminal.document("audit", "what-if", UTILITY_EVENT, "--target-kw", "20")
    refused = terminal.run("audit", "what-if", UTILITY_EVENT, "--program-version", "7")

    settlement = found["settlement"]
    assert (settlement["in_force"]["total"], settlement["what_if"]["total"]) == ("290.00", "360.00")
    assert {one["why"]: one["amount"] for one in settlement["by_reason"]} == {
        "rule": "310.00", "event": "-240.00",
    }  # fmt: skip
    assert found["hypothetical"]["delivered_kw"] is not None
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert any("fac-001 energy 180.00 30.00 -150.00 0.25 x 120.000 kWh" in line for line in lines), (
        shown.stdout
    )
    assert any("total - 290.00 50.00 -240.00" in line for line in lines), shown.stdout
    assert any("by reason" in line and "rule -240.00" in line for line in lines)
    assert "headroom" not in shown.stdout
    assert (other_plan["settlement"], other_plan["no_amounts"]["code"]) == (None, "not_metered")
    assert (refused.exit_code, "has no version 7" in refused.stderr) == (1, True)
    assert written(database) == before


def test_another_baseline_is_measured_again_on_the_stored_readings(
    database: Database, tmp_path: Path
) -> None:
    store_entries(database.admin_dsn, entries_of(settled_system()))
    terminal = Terminal(database, tmp_path)
    gone = terminal.document("audit", "what-if", UTILITY_EVENT, "--baseline", "high-4-of-5")
    assert (gone["settlement"], gone["no_amounts"]["code"]) == (None, "readings_gone")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        store = PostgresTelemetryStore(pool, SystemClock())
        store.prepare_days(STARTS_AT - timedelta(days=41), ENDS_AT)
        store.import_intervals(readings())

    found = terminal.document("audit", "what-if", UTILITY_EVENT, "--baseline", "high-4-of-5")

    settlement = found["settlement"]
    assert (settlement["in_force"]["total"], settlement["what_if"]["total"]) == ("290.00", "420.00")
    assert {one["why"]: one["amount"] for one in settlement["by_reason"]} == {"baseline": "130.00"}
    assert found["hypothetical"]["delivered_kw"] == pytest.approx(140.0)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        ([], 2, "say what is to be different"),
        (["--without", "fac-009"], 1, "fac-009 is not in the plan"),
        (["--target-kw", "-1"], 2, "target-kw"),
        (["--allocation", "fair"], 2, "largest-first"),
        (["--baseline", "guess"], 2, "caiso-10-in-10"),
        (["--policy", "abort", "--as-of", "2"], 1, "has no DR event"),
        (["--programme", "nobody"], 2, "pge-cbp"),
        (["--programme", "pge-cbp", "--program-version", "2"], 2, "give one of"),
        (["--programme", "pge-cbp", "--policy", "abort"], 2, "cannot be combined"),
        (["--programme", "pge-cbp"], 1, "the log has no version 1 of the DR event's program"),
        (["--rule", __file__], 2, "no JSON"),
    ],
)
def test_an_invalid_what_if_is_refused_with_the_reason(
    terminal: Terminal, arguments: list[str], exit_code: int, text: str
) -> None:
    result = terminal.run("audit", "what-if", "UTIL-1", *arguments)
    assert result.exit_code == exit_code, result.output
    assert text in result.stderr

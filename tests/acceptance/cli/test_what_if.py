"""`gridproof audit what-if` on a real log: it answers and writes nothing."""

from pathlib import Path

import psycopg
import pytest

from domain.telemetry.intervals import INTERVAL
from interfaces.bootstrap.offline import opened_history
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import Terminal
from tests.integration.projections.stored_log import store_entries
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import Database

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
    assert {item["same_readings"] for item in found["remeasured"].values()} == {None}  # version 1
    assert all(item["why"] for item in found["remeasured"].values())


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        ([], 2, "say what is to be different"),
        (["--without", "fac-009"], 1, "fac-009 is not in the plan"),
        (["--target-kw", "-1"], 2, "target-kw"),
        (["--allocation", "fair"], 2, "largest-first"),
        (["--baseline", "guess"], 2, "caiso-10-in-10"),
        (["--policy", "abort", "--as-of", "2"], 1, "has no DR event"),
    ],
)
def test_an_invalid_what_if_is_refused_with_the_reason(
    terminal: Terminal, arguments: list[str], exit_code: int, text: str
) -> None:
    result = terminal.run("audit", "what-if", "UTIL-1", *arguments)
    assert result.exit_code == exit_code, result.output
    assert text in result.stderr

"""Settlements in PostgreSQL: recorded by the command, verified from the log, and restored from it."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import SettleDREvent
from interfaces.bootstrap import verify_settlements
from interfaces.bootstrap.stores import Stores
from tests.bench.settlement.setup import record_corrected, record_measured, record_program
from tests.bench.setup import open_bench_stores
from tests.sample_values import CONTEXT
from tests.servers import Database

FACILITIES = 3


@pytest.fixture
def stores(database: Database) -> Iterator[Stores]:
    opened = open_bench_stores(database.app_dsn)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def dr_event_id(stores: Stores) -> UUID:
    """Settled, and settled again after a correction."""
    record_program(stores)
    recorded = record_measured(stores, FACILITIES, name="U-1")
    settle(stores, recorded)
    record_corrected(stores, recorded, 1)
    settle(stores, recorded)
    return recorded


def settle(stores: Stores, dr_event_id: UUID, context: CommandContext = CONTEXT) -> None:
    outcome = stores.bus.handle(SettleDREvent(dr_event_id=dr_event_id, why="all is measured"), context)
    assert outcome.recorded


def changed(database: Database, sql: str) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(sql.encode())


def test_what_was_recorded_follows_from_the_log(stores: Stores, dr_event_id: UUID) -> None:
    report = verify_settlements(stores)
    assert (report.settlements, report.findings) == (2, ())


def test_a_row_that_was_changed_is_named_with_an_alert(
    stores: Stores, dr_event_id: UUID, database: Database
) -> None:
    changed(
        database,
        "UPDATE gridproof.settlements s SET document = other.document FROM gridproof.settlements other "
        "WHERE s.revision = 0 AND other.revision = 1",
    )
    [finding] = verify_settlements(stores).findings
    assert (finding.kind, finding.dr_event_id, finding.revision) == ("document", dr_event_id, 0)
    [alert] = stores.alerts().listed()
    assert (alert.name, alert.subject) == ("ledger_mismatch", "settlements")


def test_a_domain_event_that_was_changed_is_named(
    stores: Stores, dr_event_id: UUID, database: Database
) -> None:
    changed(
        database,
        "ALTER TABLE gridproof.demand_response_events DISABLE TRIGGER USER; "
        "UPDATE gridproof.demand_response_events SET state = convert_to(regexp_replace("
        "convert_from(state, 'UTF8'), '\"total\":\"[0-9.]+\"', '\"total\":\"9999.00\"'), 'UTF8') "
        "WHERE topic = 'dr-event.settled.v1'",
    )
    [finding] = verify_settlements(stores).findings
    assert (finding.kind, finding.revision) == ("figures", 0)
    assert "it says 9999.00 USD" in finding.detail


def test_lost_rows_are_restored_from_the_log(stores: Stores, dr_event_id: UUID, database: Database) -> None:
    changed(database, "DELETE FROM gridproof.settlements")
    assert [one.kind for one in verify_settlements(stores).findings] == ["document", "document"]
    assert verify_settlements(stores, restore=True).holds
    assert verify_settlements(stores).holds
    assert stores.alerts().listed() == []

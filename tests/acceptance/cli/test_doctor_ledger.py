"""`gridproof doctor` on the ledger: the age of the newest checkpoint, and whether it is too old."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.signing import signer_in
from application.ledger.sealing import Sealer, follow
from domain.ledger.entries import DEMAND_RESPONSE
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.clock import FakeClock
from tests.open_alerts import begin_alert
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as connections:
        yield connections


def ago(**duration: float) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


def record(terminal: Terminal, at: datetime) -> None:
    with psycopg.connect(terminal.database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'facility.made-up.v1', %s)",
            (uuid4(), f'{{"recorded_at":"{at.isoformat()}"}}'.encode()),
        )


def seal(terminal: Terminal, pool: ConnectionPool[Any], at: datetime) -> None:
    folder = terminal.folder / "data"
    folder.mkdir(exist_ok=True)
    store = PostgresLedgerStore(pool.connection)
    while follow(store, DEMAND_RESPONSE):
        pass
    archive = ObjectArchive((folder / "archive").as_uri())
    assert Sealer(store, archive, signer_in(folder), FakeClock(at)).seal() is not None


def ledger_check(terminal: Terminal) -> dict[str, Any]:
    """The doctor's check of the ledger. Servers that are not set do not affect the exit status."""
    result = terminal.run("doctor", "--json")

    document = json.loads(result.stdout)
    (found,) = [check for check in document["checks"] if check["check"] == "ledger"]
    others = {
        check["check"] for check in document["checks"] if check["state"] == "wrong" and check is not found
    }
    if not others:
        assert result.exit_code == (3 if found["state"] == "wrong" else 0)
    return dict(found)


def test_a_new_system_has_nothing_to_seal(terminal: Terminal) -> None:
    found = ledger_check(terminal)
    assert (found["state"], found["detail"]) == ("ok", "nothing is recorded yet")


def test_the_newest_checkpoint_is_reported_with_age_position_and_unsealed_count(
    terminal: Terminal, pool: ConnectionPool[Any]
) -> None:
    record(terminal, ago(hours=3))
    seal(terminal, pool, ago(hours=2))
    record(terminal, ago(seconds=1))
    found = ledger_check(terminal)
    assert found["state"] == "ok", "an old checkpoint is ok if nothing has waited since"
    facts = found["facts"]
    assert facts["checkpoint"] == 1
    assert 7_190 < facts["age_s"] < 9_000
    assert facts["position"] == {"demand-response": 1, "forecasts": 0}
    assert facts["unsealed"] == {"demand-response": 1, "forecasts": 0}
    assert re.search(
        r"checkpoint 1, \d+ s old, demand-response to 1, forecasts to 0, 1 not sealed", found["detail"]
    )


@pytest.mark.parametrize("sealed_before", [True, False])
def test_a_domain_event_unsealed_for_too_long_is_wrong(
    terminal: Terminal, pool: ConnectionPool[Any], sealed_before: bool
) -> None:
    if sealed_before:
        record(terminal, ago(hours=3))
        seal(terminal, pool, ago(hours=2))
    record(terminal, ago(hours=1))
    found = ledger_check(terminal)
    assert found["state"] == "wrong"
    assert re.search(r"1 of demand-response not sealed for 3[67]\d\d s", found["detail"])
    assert "ledger_unsealed" in found["advice"]
    assert terminal.run("doctor").exit_code == 3


def test_imported_history_does_not_count_as_unsealed_for_years(
    terminal: Terminal, pool: ConnectionPool[Any]
) -> None:
    record(terminal, ago(days=700))
    seal(terminal, pool, ago(seconds=2))
    record(terminal, ago(days=699))
    assert ledger_check(terminal)["state"] == "ok"


def test_a_ledger_with_a_detected_mismatch_is_wrong(terminal: Terminal, pool: ConnectionPool[Any]) -> None:
    record(terminal, ago(seconds=2))
    seal(terminal, pool, ago(seconds=1))
    begin_alert(PostgresAlerts(pool), "ledger_mismatch", "verification", "changed at position 1", at=ago())
    found = ledger_check(terminal)
    assert (found["state"], found["detail"]) == ("wrong", "changed at position 1")
    assert "ledger_mismatch" in found["advice"]


def test_a_forged_checkpoint_is_wrong(terminal: Terminal, pool: ConnectionPool[Any]) -> None:
    record(terminal, ago(seconds=2))
    seal(terminal, pool, ago(seconds=1))
    with psycopg.connect(terminal.database.admin_dsn) as connection:
        connection.execute("UPDATE gridproof.ledger_checkpoints SET signed = 'forged'")
    found = ledger_check(terminal)
    assert found["state"] == "wrong"
    assert "checkpoint 1: it is no checkpoint" in found["detail"]


def test_the_check_is_not_set_without_the_public_key(terminal: Terminal, pool: ConnectionPool[Any]) -> None:
    record(terminal, ago(seconds=2))
    seal(terminal, pool, ago(seconds=1))
    (terminal.folder / "data" / "ledger.pub").unlink()
    assert ledger_check(terminal)["state"] == "not set"

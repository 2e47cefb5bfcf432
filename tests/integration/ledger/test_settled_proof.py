"""`gridproof audit prove` and `audit check` of a settled DR event: from the database to an auditor's machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.settlement_documents import PostgresSettlementDocuments
from adapters.signing import signer_in
from interfaces.cli.audit import ledger as commands
from interfaces.cli.audit.check import check
from interfaces.settings.settings import Settings
from tests import servers
from tests.integration.ledger.conftest import Ledger
from tests.integration.projections.stored_log import StoppedClock, store_entries
from tests.servers import PostgresServer
from tests.settled_portfolio import resettled_portfolio


@pytest.fixture(scope="module")
def settled(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A sealed ledger with a DR event of two revisions, its readings, and the stores that a command opens."""
    folder = tmp_path_factory.mktemp("ledger")
    portfolio = resettled_portfolio()
    with (
        servers.fresh_database(postgres_server) as database,
        psycopg.connect(database.admin_dsn, autocommit=True) as superuser,
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
    ):
        store, archive = PostgresLedgerStore(pool.connection), ObjectArchive(f"file://{folder}/archive")
        ledger = Ledger(database, superuser, store, archive, signer_in(folder), folder)
        store_entries(database.admin_dsn, portfolio.walk.entries)
        documents = PostgresSettlementDocuments(pool)
        for number, ((dr_event_id, _), content) in enumerate(portfolio.documents.stored.items()):
            documents.add(dr_event_id, content, revision=number)
        assert ledger.seal() is not None
        yield SimpleNamespace(
            settings=Settings(data_dir=folder),
            pool=pool,
            clock=StoppedClock(),
            stream_log=lambda: PostgresStreamLog(pool),
            telemetry=lambda: portfolio.walk.telemetry,
            settlement_documents=lambda: documents,
            superuser=superuser,
            readings=portfolio.walk.telemetry,
            key=str(folder / "ledger.pub"),
        )


@pytest.fixture
def stores(settled: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def opened() -> Iterator[Any]:
        yield settled

    monkeypatch.setattr(commands, "opened_stores", opened)
    return settled


def proved_and_checked(stores: Any, path: Path, *options: str) -> Result:
    written = CliRunner().invoke(commands.prove, ["UTIL-1", "--out", str(path)])
    assert written.exit_code == 0, written.output
    return CliRunner().invoke(check, [str(path), "--public-key", stores.key, *options])


def test_a_settled_dr_event_is_proved_and_its_total_recomputed(stores: Any, tmp_path: Path) -> None:
    result = proved_and_checked(stores, tmp_path / "proof.json")
    assert result.exit_code == 0, result.output
    assert "recomputed 3 measurements of 3 facilities: all equal" in result.output
    assert "recomputed 2 settlements: all equal; revision 1: 424.36 USD" in result.output
    assert "from the readings in the file: 424.36 USD; 3 of 3" in result.output


def test_without_readings_and_with_a_changed_document_the_total_is_recomputed_all_the_same(
    stores: Any, tmp_path: Path
) -> None:
    stores.readings.imported = {}
    stores.superuser.execute("UPDATE gridproof.settlements SET document = '\\x00' WHERE revision = 1")
    result = proved_and_checked(stores, tmp_path / "proof.json", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["recomputed"]["not_recomputed"] == 3
    first, newest = document["settlements"]["revisions"]
    assert (first["document"], newest["document"]) == ("equal", "left_out")
    assert newest["document_left_out"].startswith("the stored one is not what was recorded")
    assert (newest["recomputed_total"], newest["from_readings"]["facilities"]) == ("424.36", 0)

"""What is refused before a restore is recorded has changed nothing: no queue is emptied."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from adapters.nats.restored_streams import RestoredStreams
from application.ledger.checkpoints import checkpoint_name
from application.ledger.sealing import LedgerContradicted
from interfaces.bootstrap.backup.restore import ProcessesRunning, record_restore
from interfaces.bootstrap.ledger import open_archive
from interfaces.settings.settings import Settings, read_settings
from tests.servers import Database


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return read_settings(
        {
            "GRIDPROOF_DATA_DIR": str(tmp_path),
            "GRIDPROOF_DATABASE_URL": database.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": database.owner_dsn,
            "GRIDPROOF_NATS_URL": "nats://127.0.0.1:4222",
        }
    )


@pytest.fixture(autouse=True)
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses at which queues were emptied."""
    addresses: list[str] = []

    async def work_with(nats_url: str, positions: object) -> dict[str, int]:
        addresses.append(nats_url)
        return {}

    monkeypatch.setattr(RestoredStreams, "work_with", work_with)
    return addresses


@pytest.mark.parametrize("session", ["gridproof locks", "gridproof listen", "projection current"])
def test_a_restore_is_not_recorded_while_a_process_runs(
    settings: Settings, database: Database, emptied: list[str], session: str
) -> None:
    with (
        psycopg.connect(database.app_dsn, application_name=session),
        pytest.raises(ProcessesRunning, match=session),
    ):
        record_restore(settings, None, login="anna")
    assert emptied == []


def test_no_queue_is_emptied_for_a_log_that_is_not_what_was_sealed(
    settings: Settings, emptied: list[str]
) -> None:
    open_archive(settings).put_once(checkpoint_name(1), b"no checkpoint")
    with pytest.raises(LedgerContradicted):
        record_restore(settings, None, login="anna")
    assert emptied == []

"""What is refused before a restore is recorded has changed nothing: no reading is delivered again."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from adapters.nats.restored_telemetry import RestoredTelemetry
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
def delivered_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses at which readings were delivered again."""
    addresses: list[str] = []

    async def deliver_after(nats_url: str, positions: object) -> int:
        addresses.append(nats_url)
        return 0

    monkeypatch.setattr(RestoredTelemetry, "deliver_after", deliver_after)
    return addresses


@pytest.mark.parametrize("session", ["gridproof locks", "gridproof listen", "projection current"])
def test_a_restore_is_not_recorded_while_a_process_runs(
    settings: Settings, database: Database, delivered_at: list[str], session: str
) -> None:
    with (
        psycopg.connect(database.app_dsn, application_name=session),
        pytest.raises(ProcessesRunning, match=session),
    ):
        record_restore(settings, None, login="anna")
    assert delivered_at == []


def test_nothing_is_delivered_again_for_a_log_that_is_not_what_was_sealed(
    settings: Settings, delivered_at: list[str]
) -> None:
    open_archive(settings).put_once(checkpoint_name(1), b"no checkpoint")
    with pytest.raises(LedgerContradicted):
        record_restore(settings, None, login="anna")
    assert delivered_at == []

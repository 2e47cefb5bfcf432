"""A ledger on its own database, and an attacker who may change everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.ledger.stream_map_tables import TABLES
from adapters.signing import Ed25519Signer, signer_in
from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.sealing import Sealer, follow
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import Finding, LedgerReport, Span
from domain.identifiers import NAMESPACE
from domain.ledger.entries import DEMAND_RESPONSE, ENTRY_BYTES, LOGS, positions_of
from tests.integration.projections.stored_log import StoppedClock
from tests.servers import Database


@dataclass
class Ledger:
    database: Database
    superuser: psycopg.Connection[tuple[Any, ...]]
    store: PostgresLedgerStore
    archive: ObjectArchive
    signer: Ed25519Signer
    folder: Path

    def record(self, positions: Sequence[int], log: str = DEMAND_RESPONSE) -> None:
        """Record domain events at those positions, each in its own stream."""
        with self.superuser.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO gridproof.{TABLES[log]} OVERRIDING SYSTEM VALUE VALUES (%s, 1, %s, %s, %s)".encode(),
                [
                    (stream(position), "dr-event.made-up.v1", f'{{"was":{position}}}'.encode(), position)
                    for position in positions
                ],
            )

    def follow(self) -> None:
        for log in LOGS:
            while follow(self.store, log, 3):
                pass

    def seal(self) -> SignedCheckpoint | None:
        self.follow()
        return Sealer(self.store, self.archive, self.signer, StoppedClock()).seal()

    def tamper(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute as superuser; returns the number of affected rows."""
        return self.superuser.execute(sql.encode(), parameters).rowcount

    def replace_entry(self, position: int, leaf: bytes | None) -> None:
        """Change or remove the entry at that position in the ledger's table."""
        entries = self.store.entries(DEMAND_RESPONSE, 0, 1000)
        index = positions_of(entries).tolist().index(position)
        before, after = entries[: index * ENTRY_BYTES], entries[(index + 1) * ENTRY_BYTES :]
        own = b"" if leaf is None else position.to_bytes(8, "big", signed=True) + leaf
        forged = before + own + after
        self.tamper("UPDATE gridproof.ledger_tiles SET entries = %s WHERE log = 'demand-response'", (forged,))
        self.tamper(
            "UPDATE gridproof.ledger_heads SET size = %s WHERE log = 'demand-response'",
            (len(forged) // ENTRY_BYTES,),
        )

    def verify(self, span: Span | None = None, logs: Sequence[str] = LOGS) -> LedgerReport:
        return verify_ledger(self.store, self.archive, self.signer.public_key, logs=logs, span=span)

    def findings(self, span: Span | None = None) -> list[tuple[str, int | None]]:
        """(kind, position) of every finding."""
        report = self.verify(span)
        assert report.verified == (report.findings == ())
        return [(finding.kind, finding.position) for finding in report.findings]

    def only(self) -> Finding:
        (finding,) = self.verify().findings
        return finding

    def file(self, name: str) -> Path:
        return self.folder / "archive" / name


def stream(position: int) -> UUID:
    return uuid5(NAMESPACE, f"made-up:{position}")


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with (
        psycopg.connect(database.admin_dsn, autocommit=True) as superuser,
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
    ):
        yield Ledger(
            database,
            superuser,
            PostgresLedgerStore(pool.connection),
            ObjectArchive(f"file://{tmp_path}/archive"),
            signer_in(tmp_path / "keys"),
            tmp_path,
        )


SEALED = [1, 2, 3, 5, 8, 9, 10, 20, 21, 22]
"""Three checkpoints; positions have gaps."""
UNSEALED = [23, 25]


@pytest.fixture
def sealed(ledger: Ledger) -> Ledger:
    """A ledger with three checkpoints over both logs and an unsealed tail."""
    for positions in (SEALED[:4], SEALED[4:7], SEALED[7:]):
        ledger.record(positions)
        ledger.record(positions, "forecasts")
        assert ledger.seal() is not None
    ledger.record(UNSEALED)
    ledger.follow()
    return ledger

"""Setup of the verify benchmark: a ledger over a benchmark's own database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


@contextmanager
def bench_ledger(app_url: str, folder: Path) -> Iterator[tuple[Callable[[], int], Callable[[], bool]]]:
    """Yields two functions: seal everything recorded (returns the count), and verify it (returns whether it holds)."""
    from adapters.archive import ObjectArchive
    from adapters.clock import SystemClock
    from adapters.postgres.ledger.store import PostgresLedgerStore
    from adapters.signing import signer_in
    from application.ledger.sealing import Sealer, follow
    from application.ledger.verification import verify_ledger
    from domain.ledger.entries import DEMAND_RESPONSE

    archive, signer = ObjectArchive((folder / "archive").as_uri()), signer_in(folder)
    with psycopg.connect(app_url, autocommit=True) as connection:
        store = PostgresLedgerStore(lambda: _borrowed(connection))
        sealer = Sealer(store, archive, signer, SystemClock())

        def seal() -> int:
            while follow(store, DEMAND_RESPONSE, 50_000):
                sealer.seal()
            return store.appended(DEMAND_RESPONSE).size

        def holds() -> bool:
            report = verify_ledger(store, archive, signer.public_key, logs=[DEMAND_RESPONSE])
            return report.verified and report.logs[0].unsealed == 0

        yield seal, holds


@contextmanager
def _borrowed(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Lend the connection without closing it."""
    yield connection

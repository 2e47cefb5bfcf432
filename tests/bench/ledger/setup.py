"""Setup of the verify benchmark: a ledger over a benchmark's own database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg


class BenchLedger(NamedTuple):
    """What the benchmark measures."""

    seal: Callable[[], int]
    """Seal everything that is recorded; returns the count."""
    holds: Callable[[], bool]
    """Verify both, without the map of streams."""
    map_holds: Callable[[], bool]
    """Compute the map of the newest checkpoint again."""


@contextmanager
def bench_ledger(app_url: str, folder: Path) -> Iterator[BenchLedger]:
    from adapters.archive import ObjectArchive
    from adapters.clock import SystemClock
    from adapters.postgres.ledger.store import PostgresLedgerStore
    from adapters.signing import signer_in
    from application.ledger.checkpoints import read_chain
    from application.ledger.map_verification import verify_map
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
            report = verify_ledger(store, archive, signer.public_key, logs=[DEMAND_RESPONSE], with_map=False)
            return report.verified and report.logs[0].unsealed == 0

        def map_holds() -> bool:
            report, findings = verify_map(store, read_chain(archive, store, signer.public_key))
            return report is not None and not findings

        yield BenchLedger(seal, holds, map_holds)


@contextmanager
def _borrowed(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Lend the connection without closing it."""
    yield connection

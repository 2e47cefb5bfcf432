"""LedgerWriter: appends the entries of both logs to the ledger, and seals them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import psycopg
import structlog

from adapters.postgres.event_store.log_session import LogSession, log_session
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.ledger.stream_map_tables import TABLES
from application.ledger.schedule import LedgerScheduler
from application.ledger.sealing import FOLLOW_ENTRIES, LedgerContradicted, Sealer, follow
from application.ports.archive import Archive, ArchiveUnavailable
from application.ports.clock import Clock
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerMoved, LedgerUnavailable
from application.ports.operations.alerts import UNTIL_RESTATED, AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from domain.ledger.entries import LOGS

_log = structlog.get_logger(__name__)

SEAL_EVERY_S = 10.0
"""Longest wall time from a domain event to the checkpoint that seals it."""
HEARTBEAT_S = 1.0
UNSEALED_ALERT_S = 60.0
SUBJECT = "sealing"
_ARCHIVE_RETRY_S = 0.5


def _no_failpoint(place: str, in_flight: str) -> None:
    return


class OpenLedger(NamedTuple):
    """The ledger in one session. Its tables say how far it has come in each log, and the archive where it is sealed."""

    store: PostgresLedgerStore
    sealer: Sealer


class LedgerWriter:
    """A consumer of the project worker's LogFollower."""

    name = "ledger"
    unavailable: tuple[type[Exception], ...] = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        LedgerUnavailable,
        LedgerMoved,
        OperationsUnavailable,
    )

    def __init__(
        self,
        *,
        dsn: str,
        archive: Archive,
        signer: CheckpointSigner,
        alerts: AlertRegistry,
        clock: Clock,
        seal_every_s: float = SEAL_EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
        batch: int = FOLLOW_ENTRIES,
        reached: Callable[[str, str], None] = _no_failpoint,
    ) -> None:
        self._dsn = dsn
        self._archive = archive
        self._signer = signer
        self._alerts = alerts
        self._clock = clock
        self._scheduler = LedgerScheduler(seal_every_s, time.monotonic)
        self._heartbeat_s = heartbeat_s
        self._batch = batch
        self._reached = reached

    def fence(self, stop: threading.Event) -> AbstractContextManager[LogSession]:
        return log_session(self._dsn, self.name, TABLES.values(), stop)

    def position(self, session: LogSession, _stop: threading.Event) -> OpenLedger:
        store = PostgresLedgerStore(lambda: nullcontext(session.connection))
        sealer = Sealer(store, self._archive, self._signer, self._clock)
        _log.info("ledger active")
        return OpenLedger(store, sealer)

    def apply(self, session: LogSession, position: OpenLedger) -> tuple[OpenLedger, float]:
        """Append new entries, and seal them when it is time."""
        store, sealer = position
        may_wait_s = self._scheduler.step(lambda: self._follow(store), lambda: self._seal(sealer))
        return position, min(self._heartbeat_s, may_wait_s)

    def gives_back(self, session: LogSession) -> bool:
        return False

    def finish(self, session: LogSession, position: OpenLedger) -> None:
        """Seal the rest, before the next checkpoint is due."""
        while self._follow(position.store):
            pass
        self._scheduler.seal(lambda: self._seal(position.sealer))

    def failed(self, error: Exception) -> float:
        raise error

    def _follow(self, store: PostgresLedgerStore) -> int:
        appended = sum(follow(store, log, self._batch) for log in LOGS)
        if appended:
            self._reached("ledger.after_append", f"{appended} entries")
        return appended

    def _seal(self, sealer: Sealer) -> bool:
        """True if it has to wait for the next sealing time. An unavailable archive is reported and retried at once; a
        contradiction is reported and never signed."""
        try:
            signed = sealer.seal()
        except LedgerContradicted as error:
            self._state_mismatch(error)
            return True
        except ArchiveUnavailable as error:
            self._state_unsealed(error)
            return False
        for name in ("ledger_mismatch", "ledger_unsealed"):
            self._state(name, None)
        if signed is not None:
            _log.info("ledger sealed", checkpoint=signed.checkpoint.number)
            self._reached("ledger.after_seal", f"{signed.checkpoint.number} signed")
        return True

    def _state_mismatch(self, error: LedgerContradicted) -> None:
        _log.error("ledger contradicted", error=str(error))
        self._state("ledger_mismatch", str(error)[:1_000])

    def _state_unsealed(self, error: ArchiveUnavailable) -> None:
        _log.warning("the ledger waits for the archive", error=str(error))
        if self._scheduler.since_sealed_s > UNSEALED_ALERT_S:
            self._state("ledger_unsealed", str(error)[:1_000])
        time.sleep(_ARCHIVE_RETRY_S)

    def _state(self, name: str, detail: str | None) -> None:
        """It holds until the next try to seal, however long the database or the process is away."""
        stated = {} if detail is None else {SUBJECT: detail}
        now = self._clock.now()
        self._alerts.state(name, stated, observer=SUBJECT, at=now, holds_s=UNTIL_RESTATED)

"""Ledger follower: reads both logs and seals new entries.

One database session does everything. It holds the advisory lock that makes this process the only follower, it
listens for new domain events, and it writes. When the session dies, the right to write is gone too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import psycopg
import structlog

from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.ledger.stream_map_tables import TABLES
from application.ledger.schedule import LedgerScheduler
from application.ledger.sealing import FOLLOW_ENTRIES, LedgerContradicted, Sealer, follow
from application.ports.archive import Archive, ArchiveUnavailable
from application.ports.clock import Clock
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerMoved, LedgerUnavailable
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from domain.ledger.entries import LOGS

_log = structlog.get_logger(__name__)

SEAL_EVERY_S = 10.0
"""Longest wall time from a domain event to the checkpoint that seals it."""
HEARTBEAT_S = 1.0
UNSEALED_ALERT_S = 60.0
SUBJECT = "sealing"
_LOCK_RETRY_S = 0.2
_RECONNECT_S = 0.5
_UNREACHABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    LedgerUnavailable,
    LedgerMoved,
    OperationsUnavailable,
)


def _no_failpoint(place: str, in_flight: str) -> None:
    return


class LedgerFollower:
    """One of the loops of `gridproof worker project`."""

    name = "ledger"

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
        # A process of a release that cannot read a newer checkpoint may have raised it: the first checkpoint clears it.
        self._has_mismatch_alert = True
        self._has_unsealed_alert = False

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`, and seal new entries before returning. Waits while the database is unreachable."""
        while not stop.is_set():
            try:
                self._run_session(stop)
            except _UNREACHABLE as error:
                _log.warning("the ledger follower cannot reach a store, retrying", error=str(error))
                stop.wait(_RECONNECT_S)

    def _run_session(self, stop: threading.Event) -> None:
        with self._connect() as connection:
            if not self._acquire_lock(connection, stop):
                return
            for table in TABLES.values():
                connection.execute(f"LISTEN {table}")
            store = PostgresLedgerStore(lambda: nullcontext(connection))
            sealer = Sealer(store, self._archive, self._signer, self._clock)
            _log.info("ledger active")
            if not self._bring_map_up(sealer, stop):
                return
            while not stop.is_set():
                may_wait_s = self._scheduler.step(lambda: self._follow(store), lambda: self._seal(sealer))
                if may_wait_s > 0:
                    for _ in connection.notifies(timeout=min(self._heartbeat_s, may_wait_s), stop_after=1):
                        pass
            while self._follow(store):
                pass
            self._scheduler.seal(lambda: self._seal(sealer))

    def _bring_map_up(self, sealer: Sealer, stop: threading.Event) -> bool:
        """After an upgrade, make the map of streams over what is sealed already. False if stopped before that; it goes
        on from there the next time."""
        try:
            while added := sealer.extend_map():
                _log.info("the map of streams is being made", domain_events=added)
                if stop.is_set():
                    return False
        except LedgerContradicted as error:
            self._raise_mismatch(error)
        return True

    def _follow(self, store: PostgresLedgerStore) -> int:
        appended = sum(follow(store, log, self._batch) for log in LOGS)
        if appended:
            self._reached("ledger.after_append", f"{appended} entries")
        return appended

    def _seal(self, sealer: Sealer) -> bool:
        """Whether to wait for the next sealing time. An unavailable archive is reported and retried at once;
        a contradiction is reported and never signed."""
        try:
            signed = sealer.seal()
        except LedgerContradicted as error:
            self._raise_mismatch(error)
            return True
        except ArchiveUnavailable as error:
            self._raise_unsealed(error)
            return False
        self._clear_alerts()
        if signed is not None:
            _log.info("ledger sealed", checkpoint=signed.checkpoint.number)
            self._reached("ledger.after_seal", f"{signed.checkpoint.number} signed")
        return True

    def _raise_mismatch(self, error: LedgerContradicted) -> None:
        _log.error("ledger contradicted", error=str(error))
        self._alerts.raise_alert("ledger_mismatch", SUBJECT, str(error)[:1_000], at=self._clock.now())
        self._has_mismatch_alert = True

    def _raise_unsealed(self, error: ArchiveUnavailable) -> None:
        _log.warning("the ledger waits for the archive", error=str(error))
        if self._scheduler.since_sealed_s > UNSEALED_ALERT_S:
            self._alerts.raise_alert("ledger_unsealed", SUBJECT, str(error)[:1_000], at=self._clock.now())
            self._has_unsealed_alert = True
        time.sleep(_RECONNECT_S)

    def _clear_alerts(self) -> None:
        if self._has_mismatch_alert:
            self._alerts.clear("ledger_mismatch", SUBJECT, at=self._clock.now())
            self._has_mismatch_alert = False
        if self._has_unsealed_alert:
            self._alerts.clear("ledger_unsealed", SUBJECT, at=self._clock.now())
            self._has_unsealed_alert = False

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name=self.name,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )

    def _acquire_lock(self, connection: psycopg.Connection[Any], stop: threading.Event) -> bool:
        while not stop.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended('ledger', 0))").fetchone()
            if row is not None and row[0]:
                return True
            stop.wait(_LOCK_RETRY_S)
        return False

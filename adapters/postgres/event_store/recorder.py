"""Recorder with group commit: the concurrent saves of a process share one transaction.

Selected by `APPLICATION_RECORDER_TOPIC`. Order, conflicts and errors are those of the library's recorder. A
save that was confirmed is in the log. If a connection dies during the commit, the outcome is looked up. It
stays unknown only if PostgreSQL stays unreachable: the caller gets an OperationalError, and a retry meets its
own events (a conflict) or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from adapters.postgres.event_store.batch_writer import BatchWriter
from adapters.postgres.event_store.library_factory import StoreDatastore
from adapters.postgres.event_store.save_request import Save
from adapters.postgres.thread_batcher import ThreadBatcher
from application.ports.event_store.event_store import ONE_DECISION, IdempotencyRecord, SaveBounds

SHARED_TRANSACTION = ONE_DECISION
"""The most that saves in a shared transaction hold: larger ones would delay each other for little gain. A
larger save has a transaction of its own."""


class GroupCommitRecorder(PostgresApplicationRecorder):
    """Stores domain events, and idempotency keys with them, in transactions that concurrent callers share."""

    datastore: StoreDatastore

    def __init__(self, datastore: StoreDatastore, *, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self._writer = BatchWriter(datastore, table=events_table_name, channel=self.channel_name)
        self.saves: ThreadBatcher[Save, list[int]] = ThreadBatcher(
            self._writer.write, sizes=lambda save: save.sizes, limits=SHARED_TRANSACTION
        )
        """Each answer has the positions of a save, after the commit."""

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
        **_: Any,
    ) -> Sequence[int] | None:
        """The positions, after the commit.

        Raises SaveTooLarge, QueueFull, StreamConflict or KeyConflict (nothing is saved), or another
        OperationalError or an InterfaceError (the outcome is unknown).
        """
        if not stored_events:
            return None
        return self.saves.get(Save(stored_events, idempotency, bounds))

    def close(self) -> None:
        """Refuse new saves and write those that wait. Idempotent; does nothing in a forked child."""
        if self.saves.is_inherited:
            return
        self.saves.close()
        self._writer.close()

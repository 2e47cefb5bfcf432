"""Recorder with group commit: the concurrent saves of a process share one transaction.

Selected by `APPLICATION_RECORDER_TOPIC`. Order, conflicts and errors are those of the library's recorder. A
save that was confirmed is in the log. If a connection dies during the commit, the outcome is looked up. It
stays unknown only if PostgreSQL stays unreachable: the caller gets an OperationalError, and a retry meets its
own events (a conflict) or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import InterfaceError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from adapters.postgres.event_store.batch_writer import BatchWriter
from adapters.postgres.event_store.library_factory import StoreDatastore
from adapters.postgres.event_store.save_request import Save
from adapters.postgres.thread_batcher import ThreadBatcher
from application.event_store.save_limits import SHARED_TRANSACTION
from application.ports.event_store.event_store import ONE_DECISION, IdempotencyRecord, SaveBounds


class GroupCommitRecorder(PostgresApplicationRecorder):
    """Stores domain events, and idempotency keys with them, in transactions that concurrent callers share."""

    datastore: StoreDatastore

    def __init__(self, datastore: StoreDatastore, *, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self._writer = BatchWriter(datastore, table=events_table_name, channel=self.channel_name)
        self._saves: ThreadBatcher[Save, Sequence[int]] = ThreadBatcher(
            self._write, sizes=lambda save: save.sizes, limits=SHARED_TRANSACTION
        )

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
        return self._saves.get(Save(stored_events, idempotency, bounds))

    def insert_each(self, saves: Sequence[Save]) -> None:
        """Save each with its own outcome in `ids` or `error`, as by `insert_events`. Raises InterfaceError in
        a forked child."""
        for save, outcome in zip(saves, self._saves.get_each(saves), strict=True):
            if isinstance(outcome, Exception):
                save.error = outcome

    def _write(self, saves: Sequence[Save]) -> list[Sequence[int] | Exception]:
        self._writer.write(saves)
        return [_outcome(save) for save in saves]

    def close(self) -> None:
        """Refuse new saves and write those that wait. Idempotent; does nothing in a forked child."""
        if self._saves.is_inherited:
            return
        self._saves.close()
        self._writer.close()


def _outcome(save: Save) -> Sequence[int] | Exception:
    if save.error is None and save.ids is not None:
        return save.ids
    return save.error or InterfaceError("the save was never answered: the outcome is unknown")

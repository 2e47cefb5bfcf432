"""A recorder whose saves share commits: the concurrent saves of a process become one transaction.

Set by `APPLICATION_RECORDER_TOPIC`. Same order, same conflicts, same errors as the library's recorder; a caller that
was answered is in the log. A connection that dies at the commit leaves it open whether the batch was saved: its
callers get an OperationalError, and who tries again finds its own events (a conflict) or nothing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from adapters.postgres.batch_writer import IMPORT_CHUNK, BatchWriter
from adapters.postgres.save_queue import Save, SaveQueue
from application.ports.event_store import IdempotencyRecord, SaveTooLarge

MAX_SAVE_EVENTS = 500
MAX_SAVE_BYTES = 128 * 1024


class GroupCommitRecorder(PostgresApplicationRecorder):
    """Stores domain events, and an idempotency key beside them, in transactions shared by concurrent callers."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self._writer = BatchWriter(datastore, table=events_table_name, channel=self.channel_name)
        self._importer = BatchWriter(datastore, table=events_table_name, channel=self.channel_name)
        self._importing = threading.Lock()
        self._queue = SaveQueue(self._write, max_batch_events=MAX_SAVE_EVENTS, max_batch_bytes=MAX_SAVE_BYTES)

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        idempotency: IdempotencyRecord | None = None,
        **_: Any,
    ) -> Sequence[int] | None:
        """The positions, once they are committed.

        Raises SaveTooLarge, StreamConflict, KeyConflict (nothing is saved), or an OperationalError or InterfaceError
        (nothing is known to be saved).
        """
        if not stored_events:
            return None
        save = Save(stored_events, idempotency)
        _check_size(save)
        return self._queue.put(save)

    def append_many(self, stored_events: Iterable[StoredEvent]) -> int:
        """Import domain events in their order by COPY, 500 a transaction; how many.

        Raises StreamConflict: the transactions before it stay, and its text says how many events they hold.
        """
        done, remaining = 0, iter(stored_events)
        while chunk := list(itertools.islice(remaining, IMPORT_CHUNK)):
            try:
                with self._importing:
                    self._importer.copy(chunk)
            except IntegrityError as error:
                raise type(error)(f"{error}; {done} events were imported before") from error
            done += len(chunk)
        return done

    def close(self) -> None:
        """What waits is still written, what comes is refused. Idempotent; does nothing in a forked child."""
        if self._queue.is_inherited:
            return
        self._queue.close()
        self._writer.close()
        with self._importing:
            self._importer.close()

    def _write(self, batch: list[Save]) -> None:
        for save in batch:
            if not save.stored_events:
                save.ids = []
        if saves := [save for save in batch if save.stored_events]:
            self._writer.write(saves)


def _check_size(save: Save) -> None:
    count, size = len(save.stored_events), save.byte_count
    if count > MAX_SAVE_EVENTS or size > MAX_SAVE_BYTES:
        raise SaveTooLarge(
            f"{count} domain events of {size} bytes in one save, at most {MAX_SAVE_EVENTS} of {MAX_SAVE_BYTES}: "
            "split the command"
        )

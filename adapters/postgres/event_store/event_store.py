"""Event store on PostgreSQL: eventsourcing with a recorder that commits concurrent saves together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import Application

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.event_store.errors import to_port_error, translate_errors
from adapters.postgres.event_store.library_factory import StoreFactory
from adapters.postgres.event_store.loaders import (
    CachedAggregate,
    IdempotencyKeyLoader,
    StreamLoader,
    batched,
)
from adapters.postgres.event_store.log_reader import LogReader, LogRow
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from adapters.postgres.event_store.save_request import LONG_AGO, Save, timestamp_of
from adapters.postgres.event_store.snapshot_reader import Snapshots, SnapshotVerifier
from adapters.postgres.event_store.snapshot_writer import SnapshotWriter
from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event
from application.event_store.open_work import open_work_of
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from application.ports.event_store.event_store import (
    ONE_DECISION,
    IdempotencyRecord,
    KeyWithoutDomainEvents,
    SaveBounds,
    SaveRequest,
    ScopedKey,
    StreamNotFound,
    TAggregate,
)
from domain.event_sourcing.aggregate import Aggregate

_Counts = list[tuple[Aggregate[Any], int]]
"""The aggregates of a save, each with its number of new domain events."""


def store_environment(database_url: str) -> dict[str, str]:
    """The settings by which eventsourcing uses our factory, recorder and mapper."""
    return {
        "PERSISTENCE_MODULE": "adapters.postgres.event_store.library_factory:StoreFactory",
        StoreFactory.ADDRESS: database_url,
        "APPLICATION_RECORDER_TOPIC": "adapters.postgres.event_store.recorder:GroupCommitRecorder",
        "MAPPER_TOPIC": "application.event_store.event_mapper:MsgspecMapper",
        "CREATE_TABLE": "no",
    }


class PostgresEventStore:
    """EventStore and EventLog of one application (`demand_response` or `forecasts`)."""

    def __init__(
        self,
        application: type[Application[UUID]],
        database_url: str,
        *,
        snapshots: Snapshots | None = None,
        wall_time: Callable[[datetime], datetime] | None = None,
    ) -> None:
        """Without `snapshots`, which need a key, none is read or written: each stream is folded when it is loaded.

        `wall_time`: when the machine's clock shows a time of the system's clock, by which a save is refused that is
        dated ahead of the database's clock. None: saves are not refused for their times.
        """
        self._application = application(env=store_environment(database_url))
        recorder = self._application.recorder
        if not isinstance(recorder, GroupCommitRecorder):
            raise TypeError(
                f"{application.__name__} must use GroupCommitRecorder, not {type(recorder).__name__}"
            )
        self._recorder = recorder
        self._wall_time = wall_time
        self._shared = DedicatedConnection(database_url, "log")
        """For short reads of the log and of keys, and for snapshots; each call is one round trip."""
        intervals: Mapping[type[Any], int] = getattr(application, "snapshot_intervals", {})
        tables = {
            "events_table": f"{application.name}_events",
            "snapshots_table": f"{application.name}_snapshots",
        }
        self._snapshots: SnapshotWriter | None = None
        verifier = None
        if intervals and snapshots is not None:
            verifier = SnapshotVerifier(snapshots, intervals)
            self._snapshots = SnapshotWriter(
                self._shared,
                self._application.mapper,
                table=tables["snapshots_table"],
                intervals=intervals,
                mac=snapshots.mac,
            )
        self._streams = StreamLoader(database_url, **tables, verifier=verifier)
        self._keys = IdempotencyKeyLoader(self._shared)
        self._log = LogReader(self._shared, table=f"{application.name}_events")
        self._stream_reads = batched(self._streams.load)
        self._key_reads = batched(self._keys.load)

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        loaded = self._load_cached([stream_id]).get(stream_id)
        if loaded is None:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}")
        return cast("TAggregate", loaded.restored(stream_id))

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        loaded = self._load_cached(stream_ids)
        return {i: cast("TAggregate", loaded[i].restored(i)) for i in stream_ids if i in loaded}

    def _load_cached(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, CachedAggregate]:
        with translate_errors():
            return self._stream_reads.get(stream_ids)

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        [error] = self.save_each([SaveRequest(aggregates, idempotency, bounds)])
        if error is not None:
            raise error

    def save_each(self, requests: Sequence[SaveRequest]) -> list[Exception | None]:
        outcomes: list[Exception | None] = [None] * len(requests)
        pending: list[tuple[int, Save, _Counts]] = []
        for number, request in enumerate(requests):
            collected = [(aggregate, aggregate.collect_events()) for aggregate in request.aggregates]
            try:
                save = self._to_save(
                    [e for _, domain_events in collected for e in domain_events],
                    request.idempotency,
                    request.bounds,
                )
            except Exception as error:  # noqa: BLE001 - returned to the caller whose save it is
                outcomes[number] = to_port_error(error)
                continue
            if save is not None:
                pending.append(
                    (
                        number,
                        save,
                        [(aggregate, len(domain_events)) for aggregate, domain_events in collected],
                    )
                )
        with translate_errors():
            answers = self._recorder.saves.get_each([save for _, save, _ in pending])
        saved: _Counts = []
        for (number, _, counts), answer in zip(pending, answers, strict=True):
            if isinstance(answer, Exception):
                outcomes[number] = to_port_error(answer)
            else:
                saved += counts
        if self._snapshots is not None:
            self._snapshots.write_due(saved)
        return outcomes

    def _to_save(
        self, domain_events: Sequence[Any], idempotency: IdempotencyRecord | None, bounds: SaveBounds
    ) -> Save | None:
        """None if there is nothing to save. Raises before anything is sent."""
        if domain_events:
            to_stored_event = self._application.mapper.to_stored_event
            latest_at = LONG_AGO
            if self._wall_time is not None:
                latest_at = timestamp_of(self._wall_time(max(e.timestamp for e in domain_events)))
            stored_events = [to_stored_event(domain_event) for domain_event in domain_events]
            return Save(stored_events, idempotency, bounds, latest_at, open_work=open_work_of(domain_events))
        if idempotency is not None:
            raise KeyWithoutDomainEvents(f"nothing to save beside the key {idempotency.key!r}")
        return None

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        return self.find_replies([(scope, key)]).get((scope, key))

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        with translate_errors():
            return self._key_reads.get(keys)

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        with translate_errors():
            stored = self._log.after(position, limit)
        return [_entry(item) for item in stored]

    def head(self) -> int:
        with translate_errors():
            return self._log.head()

    def close(self) -> None:
        """Refuse new calls and wait for those in progress. Does nothing in a forked child, whose connections
        belong to the parent."""
        if self._stream_reads.is_inherited:
            return
        self._stream_reads.close()
        self._streams.close()
        self._key_reads.close()
        self._shared.close()
        self._recorder.close()
        self._application.close()


def _entry(stored: LogRow) -> LogEntry:
    try:
        domain_event = decode_domain_event(
            stored.topic, stored.originator_id, stored.originator_version, stored.state
        )
    except UnreadableDomainEvent as error:
        raise LogEntryUnreadable(stored.position, stored.topic, str(error)) from error
    return LogEntry(stored.position, stored.topic, domain_event)

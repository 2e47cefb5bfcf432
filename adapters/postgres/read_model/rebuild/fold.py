"""Fold of the whole log in stretches. Each stretch is folded in memory and stored with its position in one
transaction.

The log can be divided by stream over several processes. Each part has its own position, so that a rebuild
that was killed continues where each part stopped.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import msgspec
import psycopg

from adapters.postgres.connection.session import open_session
from adapters.postgres.coordination.session_locks import lock_session_dsn
from adapters.postgres.read_model.log_copy import ProjectedLog, ReadSoFar
from adapters.postgres.read_model.rebuild.generation_table import GenerationTable
from adapters.postgres.read_model.rebuild.lock import share_parts_lock
from adapters.postgres.read_model.rebuild.progress import advance
from adapters.postgres.read_model.row_table import RowUnreadable
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from projections.engine.division import LogPart
from projections.engine.memory_rows import FoldFailed
from projections.engine.projection import AnyProjection
from projections.engine.rebuild_rows import FoldedRows

Connection = psycopg.Connection[tuple[Any, ...]]
Progress = Callable[[int], None]

_DECODED_AT_ONCE = 2_000
"""Domain events decoded before they are folded: few enough to stay in the processor's cache."""


class FoldLimits(msgspec.Struct, frozen=True):
    """Limits of one process's memory: the rows of a stretch, and those kept from earlier stretches."""

    stretch: int = 1_000_000
    """Domain events. They make about as many rows at most, which take 1 to 2 GB for the widest ones."""
    most_rows: int = 500_000

    def shared(self, parts: int) -> FoldLimits:
        return FoldLimits(max(self.stretch // parts, 1), self.most_rows // parts)


class FoldPart(msgspec.Struct, frozen=True):
    """The part that one process folds, the `number`th of a rebuild, and the range to be folded."""

    generation: int
    number: int
    of_log: LogPart
    position: int
    up_to: int
    bounds: FoldLimits = FoldLimits()


def fold_part(
    dsn: str, part: FoldPart, report: Progress, *, stretch_stored: Callable[[], None] = lambda: None
) -> None:
    """Fold the part from its position to its end, and store it. Raises FoldFailed or RebuildOvertaken."""
    projection: AnyProjection = part.of_log.projection
    with (
        open_session(dsn, f"rebuild {projection.name}", connect_within_s=10) as reading,
        open_session(lock_session_dsn(dsn), f"rebuild {projection.name}", connect_within_s=10) as writing,
        _gc_disabled(),
    ):
        share_parts_lock(writing, projection)
        generation = GenerationTable(writing, projection, part.generation)
        folded: FoldedRows[Any] = FoldedRows(
            projection, position=part.position, fetch=generation.fetch if part.position else None
        )
        position = part.position
        while position < part.up_to:
            reached = _fold_stretch(reading, folded, generation, part, report)
            report(reached)
            _store_stretch(writing, folded, generation, part, was_at=position, now_at=reached)
            stretch_stored()
            folded.begin_segment(reached, most_rows=part.bounds.most_rows, fetch=generation.fetch)
            position = reached


def _fold_stretch(
    reading: Connection,
    folded: FoldedRows[Any],
    generation: GenerationTable,
    part: FoldPart,
    report: Progress,
) -> int:
    """Fold the next stretch and return the position reached. Raises FoldFailed."""
    projection, read = folded.projection, ReadSoFar()
    copied = ProjectedLog(projection).entries(
        reading,
        after=folded.position,
        up_to=part.up_to,
        shard=part.of_log.shard,
        limit=part.bounds.stretch,
        so_far=read,
    )
    try:
        with closing(copied) as entries:  # an open COPY would keep the session busy
            while some := list(islice(entries, _DECODED_AT_ONCE)):
                _prefetch(folded, some)
                folded.fold(some)
                generation.take_added(folded)
                if len(some) == _DECODED_AT_ONCE:
                    report(folded.position)
    except LogEntryUnreadable as error:
        raise FoldFailed(projection.name, error.position, error.topic, str(error)) from error
    return read.position if read.rows == part.bounds.stretch else part.up_to


def _prefetch(folded: FoldedRows[Any], entries: list[LogEntry]) -> None:
    projection = folded.projection
    try:
        folded.prefetch(key for entry in entries for key in projection.wanted(entry.domain_event))
    except RowUnreadable as error:
        raise FoldFailed(projection.name, entries[0].position, entries[0].topic, str(error)) from error


def _store_stretch(
    writing: Connection,
    folded: FoldedRows[Any],
    generation: GenerationTable,
    part: FoldPart,
    *,
    was_at: int,
    now_at: int,
) -> None:
    if folded.outdated:
        generation.build_key()  # outside the transaction, because it waits for the transactions of the other parts
    with writing.transaction():
        more = generation.store(folded)
        advance(
            writing,
            folded.projection,
            part.generation,
            part=part.number,
            was_at=was_at,
            now_at=now_at,
            domain_events=folded.domain_events,
            rows=more,
        )
    folded.domain_events = 0


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Disable cyclic garbage collection. Rows contain no reference cycles, and scanning millions of them
    costs more than the fold."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

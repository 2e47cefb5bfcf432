"""The fold of a whole log in memory, in this process or shared out over several, as blocks for COPY."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any

import psycopg

from adapters.postgres.generation_rows import copy_blocks
from adapters.postgres.log_copy import Shard, copied_entries, ignored_topics
from projections.folded_rows import FoldedRows
from projections.maintenance import ProjectionsUnavailable
from projections.memory_rows import fold_entry
from projections.read_model import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]
Progress = Callable[[int], None]

MOST_ROWS_IN_MEMORY = 1_500_000
"""About 2 GB of the widest rows; what comes after them is folded in batches, through the keys."""
_TELL_EVERY = 10_000


def fold_log(
    connection: Connection,
    projection: AnyProjection,
    *,
    up_to: int,
    progress: Progress,
    shard: Shard = Shard(),  # noqa: B008 - frozen
    most_rows: int = MOST_ROWS_IN_MEMORY,
) -> FoldedRows[Any]:
    """The rows at `up_to`, or at `.position` if they became too many. Raises FoldFailed or LogEntryUnreadable."""
    folded: FoldedRows[Any] = FoldedRows(projection)
    ignored = ignored_topics(projection)
    copied = copied_entries(connection, after=0, up_to=up_to, ignored=ignored, shard=shard)
    with _no_cycles_collected(), closing(copied) as entries:  # an open COPY would keep the session busy
        for entry in entries:
            folded.position = entry.position
            fold_entry(projection, entry, folded)
            folded.domain_events += 1
            if folded.domain_events % _TELL_EVERY == 0:
                progress(entry.position)
                if len(folded.by_key) > most_rows:
                    return folded
    folded.position = up_to
    return folded


@contextmanager
def _no_cycles_collected() -> Iterator[None]:
    """Rows hold no reference cycles; looking for them among millions of rows costs more than the fold."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class SharedFold:
    """The fold over several processes, each with the streams of its shard; they end with this one."""

    def __init__(
        self, dsn: str, projection: AnyProjection, *, up_to: int, generation: int, workers: int
    ) -> None:
        self._dsn, self._projection = dsn, projection
        self._goal = {"up_to": up_to, "generation": generation}
        self._workers = workers
        self.domain_events = 0
        self.rows = 0

    def blocks(self, progress: Progress) -> Iterator[bytes]:
        """Rows of all shards, in any order. Raises FoldFailed, LogEntryUnreadable or ProjectionsUnavailable."""
        spawning = multiprocessing.get_context("spawn")  # a fork would share this process's sockets
        reached = [0] * self._workers
        pipes: dict[Pipe, int] = {}
        processes = []
        for number in range(self._workers):
            ours, theirs = spawning.Pipe(duplex=False)
            process = spawning.Process(
                target=_fold_shard,
                args=(self._dsn, self._projection),
                kwargs={**self._goal, "shard": Shard(number, self._workers), "pipe": theirs},
                daemon=True,
            )
            process.start()
            theirs.close()
            pipes[ours] = number
            processes.append(process)
        try:
            while pipes:
                for ready in wait(list(pipes)):
                    assert isinstance(ready, Pipe)  # noqa: S101 - for the type checker
                    yield from self._taken(ready, pipes, reached)
                    progress(min(reached))
        finally:
            for process in processes:
                process.kill()
                process.join()

    def _taken(self, ready: Pipe, pipes: dict[Pipe, int], reached: list[int]) -> Iterator[bytes]:
        try:
            said = ready.recv()
        except EOFError as error:
            raise ProjectionsUnavailable("a process of the rebuild died; start the rebuild again") from error
        match said:
            case bytes():
                yield said
            case int():
                reached[pipes[ready]] = said
            case (int(domain_events), int(rows)):
                self.domain_events += domain_events
                self.rows += rows
                del pipes[ready]
            case BaseException():
                raise said


def _fold_shard(
    dsn: str, projection: AnyProjection, *, up_to: int, generation: int, shard: Shard, pipe: Pipe
) -> None:
    """In a process of its own. A parent that died closes the pipe, and this process ends."""
    with suppress(BrokenPipeError):
        try:
            with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
                folded = fold_log(connection, projection, up_to=up_to, progress=pipe.send, shard=shard)
            if folded.position < up_to:
                raise ProjectionsUnavailable("the rows do not fit in memory; rebuild without --workers")
            pipe.send(up_to)
            for block in copy_blocks(folded, generation):
                pipe.send(block)
            pipe.send((folded.domain_events, len(folded.by_key)))
        except (BrokenPipeError, KeyboardInterrupt):
            return
        except Exception as error:  # noqa: BLE001 - raised in the parent, which says it
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """As it is if it survives the way to the parent, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this very line
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent
        return ProjectionsUnavailable(str(error))
    return error

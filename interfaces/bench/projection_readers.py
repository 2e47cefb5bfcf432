"""A reader in a process of its own: what it waits for is the database, not this process's rebuild."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

import msgspec
import psycopg

_READS_PER_SECOND = 1_000
_STARTED, _STOP = "started", "stop"


class Reads(msgspec.Struct):
    """Filled in when the reader was stopped."""

    reads: int = 0
    failed: int = 0
    empty: int = 0
    longest_s: float = 0.0
    seconds: float = 0.0


@contextmanager
def reading(url: str, name: str) -> Iterator[Reads]:
    """Reads the live rows a thousand times a second until the end of the block."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_read, args=(url, name, theirs), daemon=True
    )
    process.start()
    theirs.close()
    reads = Reads()
    try:
        if ours.recv() != _STARTED:
            raise RuntimeError("the reader did not start")
        yield reads
        ours.send(_STOP)
        found: Reads = ours.recv()
        for field in Reads.__struct_fields__:
            setattr(reads, field, getattr(found, field))
    finally:
        process.kill()
        process.join()


def _read(url: str, name: str, pipe: Pipe) -> None:
    query = (
        f"SELECT key FROM gridproof.rm_{name} WHERE generation = (SELECT generation "  # noqa: S608 - a registry's name
        f"FROM gridproof.projection_positions WHERE name = '{name}') ORDER BY key LIMIT 1"
    ).encode()
    reads, began = Reads(), time.perf_counter()
    due = began
    with psycopg.connect(url, autocommit=True) as connection:
        pipe.send(_STARTED)
        while not pipe.poll():
            due = max(due + 1 / _READS_PER_SECOND, time.perf_counter() - 1)  # a long read is made up for
            time.sleep(max(due - time.perf_counter(), 0))
            asked = time.perf_counter()
            try:
                reads.empty += connection.execute(query).fetchone() is None
            except psycopg.Error:
                reads.failed += 1
            reads.reads += 1
            reads.longest_s = max(reads.longest_s, time.perf_counter() - asked)
    reads.seconds = time.perf_counter() - began
    pipe.send(reads)

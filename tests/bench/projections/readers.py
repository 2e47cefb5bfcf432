"""Readers in a separate process, so that they wait only for the database and not for this process's rebuild."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

import msgspec
import psycopg

from tests.patience import ANSWER_S

_READS_PER_SECOND, _READERS = 1_000, 4
_STARTED, _STOP = "started", "stop"


class Reads(msgspec.Struct):
    """The result, filled in when the reader is stopped."""

    reads: int = 0
    failed: int = 0
    empty: int = 0
    longest_s: float = 0.0
    seconds: float = 0.0


@contextmanager
def reading(url: str, name: str, table: str) -> Iterator[Reads]:
    """Reads the live rows of a read model a thousand times a second until the end of the block."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_read, args=(url, name, table, theirs), daemon=True
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


def _read(url: str, name: str, table: str, pipe: Pipe) -> None:
    query = (
        f"SELECT key FROM {table} WHERE generation = (SELECT generation "
        f"FROM gridproof.projection_positions WHERE name = '{name}') ORDER BY key LIMIT 1"
    ).encode()
    stop, ready = threading.Event(), threading.Barrier(_READERS + 1, timeout=ANSWER_S)
    with ThreadPoolExecutor(_READERS) as pool:
        reading = [pool.submit(_read_on, url, query, ready, stop) for _ in range(_READERS)]
        ready.wait()
        pipe.send(_STARTED)
        pipe.recv()
        stop.set()
        found = [reads.result() for reads in reading]
    pipe.send(
        Reads(
            reads=sum(one.reads for one in found),
            failed=sum(one.failed for one in found),
            empty=sum(one.empty for one in found),
            longest_s=max(one.longest_s for one in found),
            seconds=max(one.seconds for one in found),
        )
    )


def _read_on(url: str, query: bytes, ready: threading.Barrier, stop: threading.Event) -> Reads:
    """One of several readers: on busy processors a single reader would mostly wait to be scheduled."""
    reads = Reads()
    with psycopg.connect(url, autocommit=True) as connection:
        ready.wait()
        began = due = time.perf_counter()
        while not stop.is_set():
            due = max(
                due + _READERS / _READS_PER_SECOND, time.perf_counter() - 1
            )  # catches up after a long read
            time.sleep(max(due - time.perf_counter(), 0))
            began_at = time.perf_counter()
            try:
                reads.empty += connection.execute(query).fetchone() is None
            except psycopg.Error:
                reads.failed += 1
            reads.reads += 1
            reads.longest_s = max(reads.longest_s, time.perf_counter() - began_at)
    reads.seconds = time.perf_counter() - began
    return reads

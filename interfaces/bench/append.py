"""Durable saves: ours, the library's, and plain INSERT + COMMIT of the same rows with as many clients."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import StoredEvent

from interfaces.bench.bed import Bed, BenchDatabase
from interfaces.bench.callers import calls_per_s
from interfaces.bench.figures import Figure, figure

STATE = b'{"filled":"' + b"x" * 168 + b'"}'
TOPIC = "facility.registered.v1"
INSERT = (
    "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)"
    " VALUES (%s, %s, %s, %s)"
)
Row = tuple[UUID, int, str, bytes]


def append(bed: Bed) -> list[Figure]:
    """Saves of one domain event by 1, 16 and 64 callers."""
    return [_figure(bed, callers, events=1) for callers in (1, 16, 64)]


def append_batch(bed: Bed) -> list[Figure]:
    """Saves of four domain events by 64 callers."""
    return [_figure(bed, 64, events=4)]


def _figure(bed: Bed, callers: int, *, events: int) -> Figure:
    total = bed.sized({1: 2_000, 16: 6_000}.get(callers, 12_000), least=callers)
    each = max(1, total // callers)
    bed.tell(f"append: {callers} callers, {each * callers} saves of {events}")
    with bed.database() as database:
        single = _plain(database, callers, each, events, in_transaction=False)
        floor = _plain(database, callers, each, events, in_transaction=True)
        ours = _recorder(database, callers, each, events, is_stock=False)
        stock = _recorder(database, callers, max(1, each // 5), events, is_stock=True)
    return figure(
        f"append, {callers} callers, {events} a save",
        unit="saves/s",
        ours=ours,
        floor=floor,
        stock=stock,
        details={
            "saves": each * callers,
            "bytes_a_domain_event": len(STATE) + len(TOPIC) + 24,
            "floor": "BEGIN, INSERT, COMMIT by psycopg, a connection a caller",
            "autocommit_insert_per_s": round(single),
            "ratio_to_autocommit_insert": round(ours / single, 3),
        },
    )


def rows_of(events: int) -> list[Row]:
    stream = uuid4()
    return [(stream, version, TOPIC, STATE) for version in range(1, events + 1)]


def _plain(database: BenchDatabase, callers: int, each: int, events: int, *, in_transaction: bool) -> float:
    statement = INSERT + ", (%s, %s, %s, %s)" * (events - 1)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(database.app_url, autocommit=not in_transaction))
            for _ in range(callers)
        ]

        def call(caller: int) -> None:
            values = [value for row in rows_of(events) for value in row]
            connections[caller].execute(statement.encode(), values, prepare=True)
            if in_transaction:
                connections[caller].commit()

        return calls_per_s(callers, each, call)


def _recorder(database: BenchDatabase, callers: int, each: int, events: int, *, is_stock: bool) -> float:
    from interfaces.bootstrap.bench import close_recorder, open_recorder

    recorder = open_recorder(database.app_url, is_stock=is_stock)
    try:
        return calls_per_s(
            callers,
            each,
            lambda _: recorder.insert_events([StoredEvent(*row) for row in rows_of(events)]),
        )
    finally:
        close_recorder(recorder)

"""Open work in PostgreSQL. What a take costs depends on the number of queues, not on how many rows wait in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from random import choices, randint
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import RETRY_ADVICE, PortErrors, transaction
from adapters.postgres.coordination.work_holder import WORK_CLASS
from adapters.postgres.event_store.acts import WallTime, append_acts
from adapters.postgres.operations.dead_letters import (
    decide_letter,
    decided_already,
    decided_among,
    park_letters,
)
from application.ports.dispatch.open_work import NotHeld, OpenWork, OpenWorkUnavailable, QueueDepth, WorkKind
from application.ports.operations.dead_letters import DeadLetter
from domain.administration import AdministrativeAct

_ERRORS = PortErrors(OpenWorkUnavailable, advice=RETRY_ADVICE)
_NOT_FOR_THE_DISK = "SET LOCAL synchronous_commit = off; "

_BOUNDS = "SELECT min(queue), max(queue) FROM gridproof.open_work WHERE kind = %s"
# The names of the queues one by one, each by a look into the index: it stops at the limit, and neither a long queue nor
# wrong statistics make it slow.
_QUEUES = """
WITH RECURSIVE queues AS (
    SELECT (SELECT min(w.queue) FROM gridproof.open_work w WHERE w.kind = %(kind)s AND w.queue >= %(from)s) AS queue
    UNION ALL
    SELECT (SELECT min(w.queue) FROM gridproof.open_work w WHERE w.kind = %(kind)s AND w.queue > q.queue)
    FROM queues q WHERE q.queue < %(until)s OR (%(until)s::text IS NULL AND q.queue IS NOT NULL)
),"""
_WITHIN = "(queues.queue < %(until)s OR %(until)s::text IS NULL)"
_HELD = """
mine AS (
    SELECT number FROM gridproof.open_work WHERE number = ANY(ARRAY(SELECT number FROM heads))
        AND holder IS NULL AND due_at <= now()
    FOR UPDATE SKIP LOCKED
)
UPDATE gridproof.open_work o SET holder = %(holder)s, tries = tries + 1 FROM mine WHERE o.number = mine.number
RETURNING o.number, o.kind, o.queue, o.position, o.tries, o.holder
"""
# The held callbacks of a utility are among its first rows: to count them stops there, however many wait behind them.
# Subqueries in place of NOT EXISTS, which the planner may turn into a scan of the whole table.
_TAKE_COMMANDS = f"""{_QUEUES}
heads AS (
    SELECT h.number FROM queues, LATERAL (
        SELECT w.number, w.holder, w.due_at FROM gridproof.open_work w
        WHERE w.kind = 'bms' AND w.queue = queues.queue AND w.position IS NOT NULL ORDER BY w.number LIMIT 1
    ) h
    WHERE {_WITHIN} AND h.holder IS NULL AND h.due_at <= now()
        AND (SELECT c.holder FROM gridproof.open_work c WHERE c.queue = queues.queue AND c.position IS NULL) IS NULL
    LIMIT %(limit)s
),{_HELD}"""  # noqa: S608 - our own texts
_TAKE_CHECKS = f"""
WITH heads AS (
    SELECT c.number FROM gridproof.open_work c
    WHERE c.position IS NULL AND c.queue >= %(from)s AND (c.queue < %(until)s OR %(until)s::text IS NULL)
        AND c.holder IS NULL AND c.due_at <= now()
        AND (SELECT w.number FROM gridproof.open_work w WHERE w.kind = 'bms' AND w.queue = c.queue
             AND w.position IS NOT NULL ORDER BY w.number LIMIT 1) IS NULL
    ORDER BY c.queue LIMIT %(limit)s
),{_HELD}"""  # noqa: S608 - our own texts
_TAKE_CALLBACKS = f"""{_QUEUES}
heads AS (
    SELECT h.number FROM queues, LATERAL (
        SELECT w.number FROM gridproof.open_work w
        WHERE w.kind = 'callback' AND w.queue = queues.queue AND w.holder IS NULL AND w.due_at <= now()
        ORDER BY w.number LIMIT greatest(0, %(at_once)s - (
            SELECT count(*) FROM (
                SELECT FROM gridproof.open_work b
                WHERE b.kind = 'callback' AND b.queue = queues.queue AND b.holder IS NOT NULL
                ORDER BY b.number LIMIT %(at_once)s
            ) held
        ))
    ) h
    WHERE {_WITHIN} LIMIT %(limit)s
),{_HELD}"""  # noqa: S608 - our own texts

_FINISH = """
DELETE FROM gridproof.open_work o USING unnest(%s::bigint[], %s::int[]) AS m (number, holder)
WHERE o.number = m.number AND o.holder = m.holder
"""
_PUT_OFF = """
UPDATE gridproof.open_work SET holder = NULL, due_at = now() + make_interval(secs => %s)
WHERE number = %s AND holder = %s
"""
_PUT_BACK = "INSERT INTO gridproof.open_work (kind, queue, position) VALUES (%s, %s, %s)"
_FREE = "UPDATE gridproof.open_work SET holder = NULL WHERE holder = %s AND number <> ALL(%s::bigint[])"
_FREE_DEAD = f"""
UPDATE gridproof.open_work SET holder = NULL WHERE holder IN (
    SELECT holder FROM (SELECT DISTINCT holder FROM gridproof.open_work WHERE holder IS NOT NULL) h
    WHERE pg_try_advisory_xact_lock({WORK_CLASS}, holder)
)
"""  # noqa: S608 - our own number
_ADD_CHECKS = """
INSERT INTO gridproof.open_work (kind, queue) SELECT 'bms', queue FROM unnest(%s::text[]) AS queue
ON CONFLICT (queue) WHERE position IS NULL DO NOTHING
"""
_DEPTHS = """
SELECT kind, queue, count(*), count(*) FILTER (WHERE position IS NULL), count(holder),
    count(*) FILTER (WHERE holder IS NULL AND due_at <= now()), min(position), max(tries)
FROM gridproof.open_work WHERE kind = coalesce(%s, kind) GROUP BY kind, queue ORDER BY kind, queue COLLATE "C"
"""


class PostgresOpenWork:
    """OpenWorkRows. `pool` has sessions of its own, not the one of the process's locks."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        with self._unsynced() as connection:
            start = _random_queue(connection, "bms")
            if start is None:
                return []
            given = {"kind": "bms", "holder": holder}
            taken = [
                *_take(connection, _TAKE_COMMANDS, start, commands, given),
                *_take(connection, _TAKE_CHECKS, start, checks, given),
            ]
        return _in_order(taken)

    def take_callbacks(self, holder: int, *, at_most: int, at_once: int) -> list[OpenWork]:
        with self._unsynced() as connection:
            start = _random_queue(connection, "callback")
            if start is None:
                return []
            given = {"kind": "callback", "holder": holder, "at_once": at_once}
            taken = _take(connection, _TAKE_CALLBACKS, start, at_most, given)
        return _in_order(taken)

    def finish(self, works: Sequence[OpenWork]) -> None:
        with self._unsynced() as connection:
            connection.execute(_FINISH, _numbers_and_holders(works))

    def put_off(self, work: OpenWork, *, wall_s: float) -> None:
        with self._unsynced() as connection:
            connection.execute(_PUT_OFF, (wall_s, work.number, work.holder))

    def park(self, work: OpenWork, letters: Sequence[DeadLetter]) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            if connection.execute(_FINISH, _numbers_and_holders([work])).rowcount != 1:
                raise NotHeld(f"work {work.number} is not held by {work.holder} any more")
            park_letters(connection, letters)
            decided = decided_among(connection, [letter.dead_letter_id for letter in letters])
            if decided is not None:
                raise decided_already(decided)

    def replay(
        self,
        dead_letter_id: UUID,
        *,
        kind: WorkKind,
        queue: str,
        position: int,
        by: str,
        reason: str,
        at: datetime,
        act: AdministrativeAct,
    ) -> DeadLetter:
        with transaction(self._pool, _ERRORS) as connection:
            letter = decide_letter(connection, dead_letter_id, status="replayed", by=by, reason=reason, at=at)
            connection.execute(_PUT_BACK, (kind, queue, position))
            append_acts(connection, [act], self._wall_time)
        return letter

    def free(self, holder: int, *, keeping: Collection[int] = ()) -> int:
        with self._unsynced() as connection:
            return connection.execute(_FREE, (holder, list(keeping))).rowcount

    def free_dead_holders(self) -> int:
        with self._unsynced() as connection:
            return connection.execute(_FREE_DEAD).rowcount

    def add_checks(self, facility_ids: Collection[str]) -> int:
        # In order, so that two processes with the same buildings wait for each other and cannot deadlock.
        with self._unsynced() as connection:
            return connection.execute(_ADD_CHECKS, (sorted(set(facility_ids)),)).rowcount

    def depths(self, kind: WorkKind | None = None) -> list[QueueDepth]:
        with transaction(self._pool, _ERRORS) as connection:
            rows = connection.execute(_DEPTHS, (kind,)).fetchall()
        return [
            QueueDepth(
                kind=of_kind,
                queue=queue,
                rows=count,
                checks=checks,
                held=held,
                due=due,
                first_position=first_position,
                most_tries=most_tries,
            )
            for of_kind, queue, count, checks, held, due, first_position, most_tries in rows
        ]

    @contextmanager
    def _unsynced(self) -> Iterator[Connection[Any]]:
        """A transaction whose loss in a crash of the server is repaired by a repetition."""
        with transaction(self._pool, _ERRORS, begin_with=_NOT_FOR_THE_DISK) as connection:
            yield connection


def _random_queue(connection: Connection[Any], kind: WorkKind) -> str | None:
    """Where a take begins, so that the takes of several workers seldom meet; None: no row is there.

    Between the first and the last name: where they differ first a letter in between, then digits, as most names have.
    """
    row = connection.execute(_BOUNDS, (kind,)).fetchone()
    if row is None or row[0] is None:
        return None
    first, last = map(str, row)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    if length is None:
        return first
    between = chr(randint(*sorted((ord(first[length]), ord(last[length])))))
    if not between.isprintable():  # it may be no character at all
        return first
    return first[:length] + between + "".join(choices("0123456789", k=3))


def _take(
    connection: Connection[Any], statement: str, start: str, limit: int, given: dict[str, Any]
) -> list[OpenWork]:
    """Take from the queue `start` on to the last, then from the first to it."""
    taken: list[OpenWork] = []
    for first, until in ((start, None), ("", start)):
        left = limit - len(taken)
        if left > 0:
            bounds = {"from": first, "until": until, "limit": left}
            taken += [_work(row) for row in connection.execute(statement.encode(), given | bounds)]
    return taken


def _work(row: Any) -> OpenWork:
    number, kind, queue, position, tries, holder = row
    return OpenWork(number=number, kind=kind, queue=queue, position=position, tries=tries, holder=holder)


def _in_order(works: Sequence[OpenWork]) -> list[OpenWork]:
    return sorted(works, key=lambda work: work.number)


def _numbers_and_holders(works: Sequence[OpenWork]) -> tuple[list[int], list[int]]:
    return [work.number for work in works], [work.holder for work in works]

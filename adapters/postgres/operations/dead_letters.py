"""Dead letters in PostgreSQL."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from adapters.postgres.wire_format.text import storable
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterCursor,
    DeadLetterDecided,
    DeadLetterNotFound,
    DeadLetterQueue,
    DeadLetterStatus,
    OpenDeadLetters,
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired

_WORK = "dead_letter_id, queue, subject, reason, body, parked_at"
_COLUMNS = f"{_WORK}, status, decided_at, decided_by, decision_reason"
_PARK = f"""
INSERT INTO gridproof.dead_letters ({_WORK})
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::timestamptz[])
ON CONFLICT (dead_letter_id) DO NOTHING
"""  # noqa: S608 - our own column names
_LIST = f"""
SELECT {_COLUMNS} FROM gridproof.dead_letters
WHERE queue = coalesce(%(queue)s, queue) AND status = coalesce(%(status)s, status)
    AND (%(at)s::timestamptz IS NULL
         OR parked_at <= %(at)s AND (parked_at < %(at)s OR dead_letter_id > %(id)s::uuid))
ORDER BY parked_at DESC, dead_letter_id LIMIT %(limit)s
"""  # noqa: S608 - our own column names
_OPEN_BEFORE = f"""
SELECT {_COLUMNS} FROM gridproof.dead_letters
WHERE status = 'open' AND queue = ANY(%(queues)s) AND parked_at <= %(moment)s
    AND (%(after_at)s::timestamptz IS NULL OR (parked_at, dead_letter_id) > (%(after_at)s, %(after_id)s::uuid))
ORDER BY parked_at, dead_letter_id LIMIT %(limit)s
"""  # noqa: S608 - our own column names
_OPEN_ABOUT = f"""
SELECT {_COLUMNS} FROM gridproof.dead_letters WHERE status = 'open' AND queue = %s AND subject = %s
ORDER BY parked_at, dead_letter_id LIMIT %s
"""  # noqa: S608 - our own column names
_OPEN_SUBJECTS = "SELECT DISTINCT subject FROM gridproof.dead_letters WHERE status = 'open' AND queue = %s"
_OPEN = """
SELECT queue, count(*), min(parked_at) FROM gridproof.dead_letters WHERE status = 'open' GROUP BY queue ORDER BY queue
"""
_GET = f"SELECT {_COLUMNS} FROM gridproof.dead_letters WHERE dead_letter_id = %s"  # noqa: S608 - our own column names
_DECIDED_AMONG = f"""
SELECT {_COLUMNS} FROM gridproof.dead_letters WHERE dead_letter_id = ANY(%s) AND status <> 'open' LIMIT 1
"""  # noqa: S608 - our own column names
_DECIDE = f"""
UPDATE gridproof.dead_letters SET status = %s, decided_at = %s, decided_by = %s, decision_reason = %s
WHERE dead_letter_id = %s AND status = 'open' RETURNING {_COLUMNS}
"""  # noqa: S608 - our own column names
_DECIDE_ALL = """
UPDATE gridproof.dead_letters SET status = %s, decided_at = %s, decided_by = %s, decision_reason = %s
WHERE dead_letter_id = ANY(%s) AND status = 'open' RETURNING dead_letter_id
"""


class PostgresDeadLetters:
    """`pool` connects as the application's role, which can park and decide dead letters but not change or
    delete one."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def park(self, letter: DeadLetter) -> None:
        self.park_all([letter])

    def park_all(self, letters: Sequence[DeadLetter]) -> None:
        with transaction(self._pool) as connection:
            park_letters(connection, letters)

    def listed(
        self,
        *,
        queue: DeadLetterQueue | None = None,
        status: DeadLetterStatus | None = "open",
        limit: int = 100,
        after: DeadLetterCursor | None = None,
    ) -> list[DeadLetter]:
        parameters = {
            "queue": queue,
            "status": status,
            "limit": limit,
            "at": None if after is None else after.parked_at,
            "id": None if after is None else after.dead_letter_id,
        }
        with transaction(self._pool) as connection:
            return [_letter(row) for row in connection.execute(_LIST, parameters)]

    def open_before(
        self,
        moment: datetime,
        *,
        queues: Sequence[DeadLetterQueue],
        after: DeadLetter | None = None,
        limit: int = 1_000,
    ) -> list[DeadLetter]:
        parameters = {
            "queues": list(queues),
            "moment": moment,
            "after_at": None if after is None else after.parked_at,
            "after_id": None if after is None else after.dead_letter_id,
            "limit": limit,
        }
        with transaction(self._pool) as connection:
            return [_letter(row) for row in connection.execute(_OPEN_BEFORE, parameters)]

    def open_about(self, subject: str, *, queue: DeadLetterQueue, limit: int = 1_000) -> list[DeadLetter]:
        parameters = (queue, storable(subject), limit)
        with transaction(self._pool) as connection:
            return [_letter(row) for row in connection.execute(_OPEN_ABOUT, parameters)]

    def open_subjects(self, queue: DeadLetterQueue) -> set[str]:
        with transaction(self._pool) as connection:
            return {subject for (subject,) in connection.execute(_OPEN_SUBJECTS, (queue,))}

    def open_by_queue(self) -> list[OpenDeadLetters]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_OPEN).fetchall()
        return [
            OpenDeadLetters(queue=queue, open=count, oldest_at=oldest_at.astimezone(UTC))
            for queue, count, oldest_at in rows
        ]

    def get(self, dead_letter_id: UUID) -> DeadLetter:
        with transaction(self._pool) as connection:
            return _get(connection, dead_letter_id)

    def decide(
        self,
        dead_letter_id: UUID,
        *,
        status: Literal["replayed", "discarded"],
        by: str,
        reason: str,
        at: datetime,
        act: AdministrativeAct | None = None,
    ) -> DeadLetter:
        if status == "discarded" and not reason.strip():
            raise ReasonRequired("discarding a dead letter needs a reason")
        with transaction(self._pool) as connection:
            letter = decide_letter(connection, dead_letter_id, status=status, by=by, reason=reason, at=at)
            if act is not None:
                append_acts(connection, [act], self._wall_time)
        return letter

    def decide_all(
        self,
        dead_letter_ids: Sequence[UUID],
        *,
        status: Literal["replayed", "discarded"],
        by: str,
        reason: str,
        at: datetime,
        act_of: Callable[[Sequence[UUID]], AdministrativeAct],
    ) -> list[UUID]:
        decision = (status, at, storable(by), storable(reason), list(dead_letter_ids))
        with transaction(self._pool) as connection:
            decided = sorted(row[0] for row in connection.execute(_DECIDE_ALL, decision))
            if decided:
                append_acts(connection, [act_of(decided)], self._wall_time)
        return decided


def park_letters(connection: Connection[Any], letters: Sequence[DeadLetter]) -> None:
    """Park the letters in the caller's transaction. Those whose ids are stored stay as they are."""
    # Ordered by id: two workers with the same dead letters then wait for each other and cannot deadlock.
    ordered = sorted(letters, key=lambda letter: letter.dead_letter_id)
    columns = (
        [letter.dead_letter_id for letter in ordered],
        [letter.queue for letter in ordered],
        [storable(letter.subject) for letter in ordered],
        [storable(letter.reason) for letter in ordered],
        [letter.body for letter in ordered],
        [letter.parked_at for letter in ordered],
    )
    connection.execute(_PARK, columns)


def decide_letter(
    connection: Connection[Any],
    dead_letter_id: UUID,
    *,
    status: Literal["replayed", "discarded"],
    by: str,
    reason: str,
    at: datetime,
) -> DeadLetter:
    """Decide the letter in the caller's transaction. Raises DeadLetterNotFound or DeadLetterDecided."""
    decision = (status, at, storable(by), storable(reason), dead_letter_id)
    row = connection.execute(_DECIDE, decision).fetchone()
    if row is None:
        raise decided_already(_get(connection, dead_letter_id))
    return _letter(row)


def decided_already(letter: DeadLetter) -> DeadLetterDecided:
    return DeadLetterDecided(f"dead letter {letter.dead_letter_id} was already {letter.status}")


def decided_among(connection: Connection[Any], dead_letter_ids: Sequence[UUID]) -> DeadLetter | None:
    """An of the letters that was decided; None: all are open."""
    row = connection.execute(_DECIDED_AMONG, (list(dead_letter_ids),)).fetchone()
    return None if row is None else _letter(row)


def _get(connection: Connection[Any], dead_letter_id: UUID) -> DeadLetter:
    row = connection.execute(_GET, (dead_letter_id,)).fetchone()
    if row is None:
        raise DeadLetterNotFound(
            f"no dead letter {dead_letter_id}; list them with `gridproof dead-letters list`"
        )
    return _letter(row)


def _letter(row: Any) -> DeadLetter:
    dead_letter_id, queue, subject, reason, body, parked_at, status, decided_at, decided_by, why = row
    return DeadLetter(
        dead_letter_id=dead_letter_id,
        queue=queue,
        subject=subject,
        reason=reason,
        body=bytes(body),
        parked_at=parked_at.astimezone(UTC),
        status=status,
        decided_at=decided_at and decided_at.astimezone(UTC),
        decided_by=decided_by,
        decision_reason=why,
    )

"""The imports of history in PostgreSQL, and the removal of the rows of one of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.import_corrections import (
    block_seen,
    correct_differences,
    quarters_between,
)
from adapters.postgres.telemetry.import_layers import next_layer, order_imports, remove_layer
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.imported_history import (
    ImportSpan,
    NewImport,
    RecordedImport,
    RowsTakenBack,
)
from application.ports.telemetry.stored_meters import RemovalNotSupported

_BEGIN = """
INSERT INTO gridproof.history_imports (import_id, begun_at, begun_by, file_sha256, rows) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_BEGIN_FACILITY = """
INSERT INTO gridproof.history_import_facilities (import_id, facility_id, step_s, starts_at, ends_at, rows)
VALUES (%s, %s, %s, %s, %s, %s)
"""
_COMPLETE = """
UPDATE gridproof.history_imports SET completed_at = %s, added = %s, changed = %s
WHERE import_id = %s AND completed_at IS NULL
"""
_IMPORTS = """
SELECT i.import_id, i.begun_at, i.begun_by, i.file_sha256, i.rows, i.completed_at, i.added, i.changed, i.taken_back_at,
    i.taken_back_by, i.reason, f.facilities, f.starts_at, f.ends_at, f.facilities_left
FROM gridproof.history_imports i, LATERAL (
    SELECT count(*) AS facilities, min(starts_at) AS starts_at, max(ends_at) AS ends_at,
        count(*) FILTER (WHERE taken_back_at IS NULL AND i.taken_back_at IS NOT NULL) AS facilities_left
    FROM gridproof.history_import_facilities f WHERE f.import_id = i.import_id
) f
"""
_NEWEST = "ORDER BY i.begun_at DESC, i.import_id LIMIT %s"
_SPANS = """
SELECT facility_id, step_s, starts_at, ends_at, rows, taken_back_at FROM gridproof.history_import_facilities
WHERE import_id = %s ORDER BY facility_id
"""
_TAKE_BACK = """
UPDATE gridproof.history_imports SET taken_back_at = %s, taken_back_by = %s, reason = %s
WHERE import_id = %s AND taken_back_at IS NULL
"""
_FINISH = """
UPDATE gridproof.history_import_facilities SET taken_back_at = %s
WHERE import_id = %s AND facility_id = %s AND taken_back_at IS NULL
"""


class PostgresImportedHistory:
    """`pool` as for the telemetry store. Rows that are `elsewhere`, in InfluxDB, cannot be removed."""

    def __init__(self, pool: ConnectionPool[Any], *, elsewhere: bool = False) -> None:
        self._pool = pool
        self._elsewhere = elsewhere

    def begin(self, new: NewImport) -> None:
        rows = sum(span.rows for span in new.spans)
        with telemetry_transaction(self._pool) as conn, conn.cursor() as cursor:
            cursor.execute(_BEGIN, (new.import_id, new.begun_at, new.begun_by, new.file_sha256, rows))
            if not cursor.rowcount:
                return
            cursor.executemany(
                _BEGIN_FACILITY,
                [
                    (new.import_id, span.facility_id, span.step_s, span.starts_at, span.ends_at, span.rows)
                    for span in new.spans
                ],
            )

    def complete(self, import_id: UUID, *, added: int, changed: int, at: datetime) -> None:
        with telemetry_transaction(self._pool) as conn:
            conn.execute(_COMPLETE, (at, added, changed, import_id))

    def listed(self, *, limit: int) -> list[RecordedImport]:
        with telemetry_transaction(self._pool) as conn:
            return [_recorded(row) for row in conn.execute(f"{_IMPORTS} {_NEWEST}", (limit,))]

    def find(self, id_prefix: str) -> list[RecordedImport]:
        query = f"{_IMPORTS} WHERE starts_with(i.import_id::text, %s) {_NEWEST}"
        with telemetry_transaction(self._pool) as conn:
            return [_recorded(row) for row in conn.execute(query, (id_prefix.lower(), 2))]

    def spans(self, import_id: UUID) -> list[ImportSpan]:
        with telemetry_transaction(self._pool) as conn:
            rows = conn.execute(_SPANS, (import_id,)).fetchall()
        return [
            ImportSpan(
                facility_id=facility_id,
                step_s=step_s,
                starts_at=starts_at.astimezone(UTC),
                ends_at=ends_at.astimezone(UTC),
                rows=count,
                taken_back_at=_utc(taken_back_at),
            )
            for facility_id, step_s, starts_at, ends_at, count, taken_back_at in rows
        ]

    def mark_taken_back(self, import_id: UUID, *, by: str, reason: str, at: datetime) -> None:
        with telemetry_transaction(self._pool) as conn:
            conn.execute(_TAKE_BACK, (at, by, reason, import_id))

    def remove_rows(
        self, import_id: UUID, facility_id: str, *, corrected_from: datetime | None, at: datetime
    ) -> RowsTakenBack:
        if self._elsewhere:
            raise RemovalNotSupported(
                "rows in InfluxDB are removed with its own tools: those of `imported` with that facility_id and time; "
                "which import they are of is not stored there"
            )
        done = RowsTakenBack()
        while (part := self._remove_part(import_id, facility_id, corrected_from, at)) is not None:
            done += part
        return done

    def finish(self, import_id: UUID, facility_id: str, *, at: datetime) -> None:
        with telemetry_transaction(self._pool) as conn:
            conn.execute(_FINISH, (at, import_id, facility_id))

    def _remove_part(
        self, import_id: UUID, facility_id: str, corrected_from: datetime | None, at: datetime
    ) -> RowsTakenBack | None:
        """Remove a part of one layer, with its corrections, in a transaction; None where there is none left."""
        with telemetry_transaction(self._pool) as conn:
            order_imports(conn)
            layer = next_layer(conn, import_id, facility_id)
            if layer is None:
                return None
            window = (
                None
                if corrected_from is None
                else quarters_between(layer.starts_at, layer.ends_at, corrected_from)
            )
            before = None if window is None else block_seen(conn, facility_id, window)
            removed = remove_layer(conn, layer, at=at)
            if window is None or before is None:
                return removed
            corrected = correct_differences(conn, before, window, at=at)
            return removed + RowsTakenBack(corrected=corrected)


def _recorded(row: Sequence[Any]) -> RecordedImport:
    import_id, begun_at, begun_by, file_sha256, rows, completed_at, added, changed, *rest = row
    taken_back_at, taken_back_by, reason, facilities, starts_at, ends_at, facilities_left = rest
    return RecordedImport(
        import_id=import_id,
        begun_at=begun_at.astimezone(UTC),
        begun_by=begun_by,
        file_sha256=file_sha256,
        rows=rows,
        facilities=facilities,
        starts_at=starts_at.astimezone(UTC),
        ends_at=ends_at.astimezone(UTC),
        completed_at=_utc(completed_at),
        added=added,
        changed=changed,
        taken_back_at=_utc(taken_back_at),
        taken_back_by=taken_back_by,
        reason=reason,
        facilities_left=facilities_left,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)

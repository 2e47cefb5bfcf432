"""Progress of the raw archive, in PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.raw_archive.progress import ArchiveProgress
from domain.telemetry.meter_reading import PARTITIONS

_COLUMNS = "partition, log_id, stream_seq, archived_through, waiting, objects, told_at"
_UPSERT = f"""
INSERT INTO gridproof.raw_archive_progress ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (partition) DO UPDATE SET log_id = EXCLUDED.log_id, stream_seq = EXCLUDED.stream_seq,
    archived_through = EXCLUDED.archived_through, waiting = EXCLUDED.waiting, objects = EXCLUDED.objects,
    told_at = EXCLUDED.told_at
"""  # noqa: S608 - our own column names
_LIST = f"SELECT {_COLUMNS} FROM gridproof.raw_archive_progress ORDER BY partition"  # noqa: S608 - likewise


class PostgresRawArchiveProgress:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def report(self, progress: ArchiveProgress) -> None:
        with transaction(self._pool) as connection:
            connection.execute(_UPSERT, msgspec.structs.astuple(progress))

    def listed(self) -> list[ArchiveProgress]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_LIST).fetchall()
        return [
            ArchiveProgress(
                partition=partition,
                log_id=log_id,
                stream_seq=stream_seq,
                archived_through=archived_through.astimezone(UTC),
                waiting=waiting,
                objects=objects,
                reported_at=reported_at.astimezone(UTC),
            )
            for partition, log_id, stream_seq, archived_through, waiting, objects, reported_at in rows
        ]

    def archived_through(self) -> datetime | None:
        partitions = self.listed()
        # Malformed messages have a partition of their own.
        return min(one.archived_through for one in partitions) if len(partitions) == PARTITIONS + 1 else None

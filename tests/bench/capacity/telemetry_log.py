"""The telemetry log of a capacity run: its size, and what archiving it takes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from adapters.archive import ObjectArchive, S3Access
from adapters.nats.connection import connect
from adapters.nats.raw_log import NatsRawLog
from adapters.nats.telemetry_stream import STREAM
from application.raw_archive.writer import PartitionArchiver
from domain.telemetry.meter_reading import PARTITIONS


def log_size(nats_url: str) -> tuple[int, int]:
    """(messages, bytes) in the log."""
    return asyncio.run(_size(nats_url))


@dataclass(frozen=True)
class Archived:
    """What the raw archive takes of a log."""

    readings: int
    stored_bytes: int
    cpu_s: float


def archive_log(nats_url: str) -> Archived:
    """Archive the log into a temporary folder as the archive worker does once its hours are over."""
    return asyncio.run(_archive(nats_url))


async def _size(nats_url: str) -> tuple[int, int]:
    client = await connect(nats_url, name="capacity run", keep_trying=False)
    try:
        state = (await client.jetstream(timeout=10).stream_info(STREAM)).state
        return state.messages, state.bytes
    finally:
        await client.close()


async def _archive(nats_url: str) -> Archived:
    client = await connect(nats_url, name="capacity run", keep_trying=False)
    readings = stored = 0
    began_s = time.process_time()
    try:
        with tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder:
            no_s3 = S3Access(endpoint=None, region=None, key_id=None, secret=None)
            archive = ObjectArchive(Path(folder).as_uri(), no_s3)
            log = NatsRawLog(client, clock_time=lambda moment: moment)
            log_id = await log.log_id()
            for partition in range(PARTITIONS):
                archiver = PartitionArchiver(log, archive, log_id=log_id, partition=partition)
                await archiver.open()
                while (entry := await archiver.archive_next()) is not None:
                    readings += entry.contents.readings
                    stored += entry.stored_bytes
    finally:
        await client.close()
    return Archived(readings=readings, stored_bytes=stored, cpu_s=time.process_time() - began_s)

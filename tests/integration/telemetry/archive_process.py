"""An archive worker as an operating-system process, to be killed: `archive_process.py DSN NATS_URL FOLDER
FAILPOINT`.

The clock is two hours ahead, so that every hour of the log is complete and is archived.
"""

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import nats

from adapters.archive import ObjectArchive
from adapters.clock import SystemClock
from adapters.nats.raw_log import NatsRawLog
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from interfaces.failpoints import failpoint
from interfaces.workers.archive import ArchiveWorker
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.raw_archive.progress import FakeRawArchiveProgress


@dataclass(frozen=True)
class HoursAhead(SystemClock):
    """A clock on which every hour of the log has ended."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=2)


async def main(dsn: str, nats_url: str, folder: str, place: str) -> None:
    client = await nats.connect(nats_url)
    worker = ArchiveWorker(
        raw_log=NatsRawLog(client),
        stream=NatsTelemetryStream(client, archived=True),
        archive=ObjectArchive(Path(folder).as_uri()),
        progress=FakeRawArchiveProgress(),
        alerts=FakeAlertRegistry(),
        clock=HoursAhead(),
        locks=AdvisoryLocks(LockSession(dsn)),
        reached=failpoint(place or None, None),
        round_every_s=0.1,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Import FILE in a separate process, and print its report and peak memory in KiB as JSON.

`import_process.py FILE [DSN [DIE_AFTER]]`: without a database it only counts; with DIE_AFTER it kills itself
with SIGKILL once that many rows are stored.
"""

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from adapters.readings_file import open_readings_file
from application.history_import.importer import import_history
from application.history_import.inspection import inspect_readings
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome


class Counting:
    """The part of a telemetry store that an import uses; it only counts."""

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        return ImportOutcome(added=len(intervals), changed=0, unchanged=0)


def main(path: str, dsn: str = "", die_after: str = "") -> None:
    def stored(done: int, _of: int) -> None:
        if die_after and done >= int(die_after):
            os.kill(os.getpid(), signal.SIGKILL)

    file = open_readings_file(Path(path))
    with ExitStack() as stack:
        store: Any = Counting()
        if dsn:
            store = PostgresTelemetryStore(
                stack.enter_context(ConnectionPool(dsn, min_size=1)), SystemClock()
            )
        ordered = stack.enter_context(file.ordered())
        inspected = inspect_readings(file, ordered)
        report = msgspec.structs.replace(
            import_history(ordered, store, on_progress=stored), inspected=inspected
        )
    sys.stdout.write(json.dumps({"report": msgspec.to_builtins(report), "greatest_kib": greatest_kib()}))


def greatest_kib() -> int:
    """Peak memory in KiB. ru_maxrss is not used, because it starts with the value of the parent process."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1])


main(*sys.argv[1:])

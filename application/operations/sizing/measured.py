"""The measured figures that sizes are computed from: each with the row of docs/benchmarks.md that it comes from.

`tests/unit/application/operations/sizing/test_measured.py` compares them with that page. `make bench NAME=capacity-run`
measures them anew, and prints how far its run was from what they predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CAPACITY_RUN = "2026-11-29, capacity"
COMPARISON = "2026-11-28"
"""Sections of docs/benchmarks.md."""


class ProcessorUse(NamedTuple):
    """What one kind of process, or a server, takes. Its row is in CAPACITY_RUN, with these columns."""

    idle_ms_per_s: float
    """Processor milliseconds a second, without any load; of one process."""
    pack_ms: float
    """A message of the telemetry log: what ingest has read of a partition within 0.1 s."""
    reading_us: float
    request_ms: float
    """A request of the dashboard; its share of the stream is included."""
    dispatch_ms: float
    """A facility in a DR event, from the notification to its measurement."""
    forecast_ms: float
    """A facility in a forecast cycle."""
    held_mib: float
    """Memory of one process."""


PROCESSOR: Mapping[str, ProcessorUse] = {
    "postgres": ProcessorUse(14.5, 0.09, 3.28, 0.84, 10.8, 0.41, 447),
    "nats": ProcessorUse(10.6, 0.97, 34.8, 0, 0, 0, 378),
    "valkey": ProcessorUse(0.82, 0, 0, 0, 0, 0, 5.4),
    "web": ProcessorUse(3.42, 0, 0, 2.1, 0, 0, 196),
    "relay": ProcessorUse(2.85, 0, 0, 0, 8.88, 0, 80),
    "schedule": ProcessorUse(6.19, 0, 0, 0, 12.3, 0, 154),
    "dispatch": ProcessorUse(6.19, 0, 0, 0, 9.07, 0, 84),
    "notify": ProcessorUse(1.55, 0, 0, 0, 3.16, 0, 65),
    "measure": ProcessorUse(1.14, 0, 0, 0, 6.03, 0, 75),
    "project": ProcessorUse(6.76, 0, 0, 0, 15.7, 0, 71),
    "ingest": ProcessorUse(2.85, 0.42, 15.0, 0, 0, 0, 163),
    "aggregate": ProcessorUse(6.19, 0.55, 19.7, 0, 0, 0, 280),
    "archive": ProcessorUse(2.28, 0, 11.0, 0, 0, 0, 70),
    "forecast": ProcessorUse(1.32, 0, 0, 0, 0, 0.77, 384),
}
"""Server or worker -> what it takes."""


class Figure(NamedTuple):
    """One measured value."""

    value: float
    section: str
    row: str
    """The first cell of its row in docs/benchmarks.md."""


LOG_BYTES = Figure(109_000.0, CAPACITY_RUN, "log, a facility in a DR event")
"""Domain events with their ledger and read models."""
FORECAST_BYTES = Figure(2_266.0, CAPACITY_RUN, "forecasts, a facility and cycle")
READING_BYTES = Figure(145.0, CAPACITY_RUN, "readings, one")
ROLLUP_BYTES = Figure(20.0, CAPACITY_RUN, "rollups, one reading")
ARCHIVE_BYTES = Figure(41.0, CAPACITY_RUN, "raw archive, one reading")
WAL_BYTES = Figure(57.0, CAPACITY_RUN, "PostgreSQL's log as archived, one reading")
WAL_DISPATCH_BYTES = Figure(118_000.0, CAPACITY_RUN, "PostgreSQL's log as archived, a facility in a DR event")
BACKUP_SHARE = Figure(1.11, CAPACITY_RUN, "full backup, share of the database")

COMMIT_PHASE_S = Figure(3.839, COMPARISON, "dispatch, commit phase")
"""Of COMMITTED_FACILITIES, which answer in 200 ms."""
COMMITTED_FACILITIES = 500
MESSAGES_PER_S = 20_000.0
BROKER_ROW = Figure(72.83, COMPARISON, "ingest by nats-server, 20,000/s one per message, CPU of a reading")
"""The largest rate of meters that send alone which one broker was measured with, MESSAGES_PER_S."""
TRAINING_S = Figure(0.08936, COMPARISON, "forecast-train")
COMMANDS_PER_S = Figure(3_889.0, COMPARISON, "command, 64 callers")
FIGURES: tuple[Figure, ...] = (
    *(LOG_BYTES, FORECAST_BYTES, READING_BYTES, ROLLUP_BYTES, ARCHIVE_BYTES),
    *(WAL_BYTES, WAL_DISPATCH_BYTES, BACKUP_SHARE),
    *(COMMIT_PHASE_S, BROKER_ROW, TRAINING_S, COMMANDS_PER_S),
)

"""The measured figures that sizes are computed from: each with the row of docs/benchmarks.md that it comes from.

`tests/unit/application/operations/sizing/test_measured.py` compares them with that page. `make bench NAME=capacity-run`
measures them anew, and prints how far its run was from what they predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from application.operations.process_kinds import KINDS, ProcessorUse

CAPACITY_RUN = "2026-11-29, capacity"
COMPARISON = "2026-11-28"
"""Sections of docs/benchmarks.md."""


PROCESSOR: Mapping[str, ProcessorUse] = {
    "postgres": ProcessorUse(21.4, 0.0845, 3.28, 0.771, 78.4, 0.41, 467),
    "nats": ProcessorUse(13.9, 0.956, 34.8, 0, 0, 0, 209),
    "valkey": ProcessorUse(1.15, 0, 0, 0.104, 0, 0, 18.7),
    **{kind.name: kind.processor for kind in KINDS},
}
"""Server or worker -> what it takes; means of two runs, and the larger memory."""


class Figure(NamedTuple):
    """A measured value."""

    value: float
    section: str
    row: str
    """The first cell of its row in docs/benchmarks.md."""


LOG_BYTES = Figure(105_000.0, CAPACITY_RUN, "log, a facility in a DR event")
"""Domain events with their ledger and read models."""
FORECAST_BYTES = Figure(2_290.0, CAPACITY_RUN, "forecasts, a facility and cycle")
READING_BYTES = Figure(81.2, CAPACITY_RUN, "readings, one")
ROLLUP_BYTES = Figure(7.13, CAPACITY_RUN, "rollups, one reading")
ARCHIVE_BYTES = Figure(96.0, CAPACITY_RUN, "raw archive, one reading")
WAL_BYTES = Figure(85.1, CAPACITY_RUN, "PostgreSQL's log as archived, one reading")
WAL_DISPATCH_BYTES = Figure(86_300.0, CAPACITY_RUN, "PostgreSQL's log as archived, a facility in a DR event")
BACKUP_SHARE = Figure(1.07, CAPACITY_RUN, "full backup, share of the database")

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

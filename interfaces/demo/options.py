"""The options of the demo."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

EPOCH = datetime(2026, 7, 14, 21, 16, tzinfo=UTC)
"""What the demo's clock reads when the workers start: a Tuesday in summer, 14:16 in Los Angeles."""
WINDOW = timedelta(minutes=30)
HISTORY = timedelta(days=42)
STEP_S = 900
TARGET_SHARE = 0.7
"""The target as a share of what the requested facilities declare that they can shed."""
DEFAULT_SPEED = 90.0


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    facilities: int = 50
    speed: float = DEFAULT_SPEED
    keep: bool = False
    resettle: bool = False
    """A meter corrects readings after the settlement, and the DR event is settled again."""
    readings: Path | None = None
    data_dir: Path | None = None
    shed_factor: float = 1.0
    """For tests: scales what the simulated zones shed."""
    without_meters: bool = False
    """For tests: no telemetry, neither history nor live."""
    database_url: str | None = None
    """For tests: an empty database to use instead of the embedded PostgreSQL."""
    migration_database_url: str | None = None
    otlp_url: str | None = None
    """A collector of OpenTelemetry, which gets the spans."""
    worker_metrics_bind: str | None = None
    http_metrics_bind: str | None = None
    """Where Prometheus may scrape."""
    program: tuple[str, ...] | None = None
    """For tests: another program for the processes, which plants a fault."""
    failpoints: tuple[str, ...] = ("dispatch.after_call_commit",)
    """One worker is killed at each. The failpoint's first part names the worker; a worker has at most one failpoint."""

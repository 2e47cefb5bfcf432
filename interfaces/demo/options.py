"""The options of the demo."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

EPOCH = datetime(2026, 7, 14, 21, 16, tzinfo=UTC)
"""What the demo's clock reads when the workers start: a Tuesday in summer, 14:16 in Los Angeles."""
WINDOW = timedelta(minutes=30)
HISTORY = timedelta(days=42)
STEP_S = 900
TARGET_SHARE = 0.7
"""The target as a share of what the requested facilities declare that they can shed."""
DEFAULT_SPEED = 90.0
OF_SERVERS = ("database_url", "migration_database_url", "nats_url", "mqtt_url", "redis_url", "tls_ca_file")


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
    servers: dict[str, Any] = {}
    """For tests: settings of OF_SERVERS, of empty servers to use instead of embedded ones."""
    meters_mqtt_url: str | None = None
    """For tests: where the simulated meters publish."""
    otlp_url: str | None = None
    """A collector of OpenTelemetry, which gets the spans."""
    worker_metrics_bind: str | None = None
    http_metrics_bind: str | None = None
    """Where Prometheus may scrape."""
    program: tuple[str, ...] | None = None
    """For tests: another program for the processes, which plants a fault."""
    failpoints: tuple[str, ...] = ("dispatch.after_call_commit",)
    """One worker is killed at each. The failpoint's first part names the worker; a worker has at most one failpoint."""

"""What a person can ask of the demo."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from interfaces.settings.settings import PlantedFault

EPOCH = datetime(2026, 7, 14, 21, 16, tzinfo=UTC)
"""A Tuesday, 14:16 in Los Angeles: a summer afternoon. What the demo's clock reads when its workers start."""
WINDOW = timedelta(minutes=30)
HISTORY = timedelta(days=42)
STEP_S = 900
TARGET_SHARE = 0.7
"""Of what the asked facilities are declared to shed."""
DEFAULT_SPEED = 90.0


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    facilities: int = 50
    speed: float = DEFAULT_SPEED
    keep: bool = False
    readings: Path | None = None
    data_dir: Path | None = None
    shed_factor: float = 1.0
    """For tests: scales what the simulated zones really shed."""
    without_meters: bool = False
    """For tests: no telemetry at all, neither history nor live."""
    database_url: str | None = None
    """For tests: a fresh PostgreSQL that is there already, instead of an embedded one."""
    migration_database_url: str | None = None
    planted_faults: frozenset[PlantedFault] = frozenset()
    failpoints: tuple[str, ...] = ("dispatch.after_call_commit",)
    """At each of them one worker is killed; the process is named by the failpoint's first part, and has only one."""

"""What a capacity run measured: its phases, each adding one cause of work to those before it, and its peaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tests.bench.capacity.telemetry_log import Archived
from tests.bench.capacity.usage import Peaks, Usage

Group = Literal["log", "forecasts", "readings", "rollups"]
LOG_GROUPS = ("log", "ledger", "read models")
"""What domain events take: the log, what proves it, and what is read of it."""


@dataclass(frozen=True)
class Phase:
    """From `began` to `ended`. `requests`, `dispatches` (facilities in a DR event) and `forecasts` are those in it."""

    began: Usage
    ended: Usage
    requests: int = 0
    dispatches: int = 0
    forecasts: int = 0

    @property
    def seconds(self) -> float:
        return self.ended.at_s - self.began.at_s

    @property
    def readings(self) -> int:
        return self.ended.readings - self.began.readings

    @property
    def packs(self) -> int:
        """Messages of the telemetry log."""
        return self.ended.stream_messages - self.began.stream_messages

    @property
    def archived_wal_bytes(self) -> int:
        return self.ended.archived_wal_bytes - self.began.archived_wal_bytes

    @property
    def processes(self) -> dict[str, int]:
        """Kind -> processes."""
        counts: dict[str, int] = {}
        for name in self.ended.cpu_s:
            counts[kind_of_process(name)] = counts.get(kind_of_process(name), 0) + 1
        return counts

    def cpu_s(self, kind: str) -> float:
        """Of all processes of the kind, or of a server."""
        return _sum(self.ended.cpu_s, kind) - _sum(self.began.cpu_s, kind)


@dataclass
class Run:
    facilities: int
    meters: int
    users: int
    with_history: int
    is_whole: bool = False
    """With a DR event and a quarter-hour after it."""
    phases: dict[str, Phase] = field(default_factory=dict)
    peaks: Peaks = field(default_factory=Peaks)
    archived: Archived | None = None
    backup_bytes: int = 0
    """Of a full backup, compressed."""
    backup_s: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    """Of the users' requests."""
    p99_ms: float = 0.0
    sent_readings: int = 0
    load_average: tuple[float, ...] = ()

    def total(self, what: Literal["readings", "requests", "dispatches", "forecasts"]) -> int:
        return sum(getattr(phase, what) for phase in self.phases.values())

    def grown(self, group: Group) -> int:
        """Bytes by which tables grew."""
        names = LOG_GROUPS if group == "log" else (group,)
        first, last = self._ends
        return sum(last.table_bytes.get(name, 0) - first.table_bytes.get(name, 0) for name in names)

    @property
    def archived_wal_bytes(self) -> int:
        first, last = self._ends
        return last.archived_wal_bytes - first.archived_wal_bytes

    @property
    def database_bytes(self) -> int:
        return self._ends[1].database_bytes

    def held_mib(self, kind: str) -> float:
        return _sum(self.peaks.held_mb, kind)

    @property
    def _ends(self) -> tuple[Usage, Usage]:
        phases = list(self.phases.values())
        return phases[0].began, phases[-1].ended

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1))


def kind_of_process(name: str) -> str:
    """`dispatch-1` and `dispatch-2` are of one kind."""
    return name.rpartition("-")[0] or name


def _sum(values: Mapping[str, float], kind: str) -> float:
    return sum(value for name, value in values.items() if kind_of_process(name) == kind)

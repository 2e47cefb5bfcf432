"""Load history of facilities for display, from 15 s to an hour per step, each step length from its best
source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from application.ports.clock import Clock
from application.ports.shared_cache import SharedCache
from application.ports.telemetry.meter_powers import MeterPowersView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore, TelemetryStoreUnavailable
from application.telemetry.cached_reader import CachedAnswer, ReadThroughCache
from domain.telemetry.load_history import (
    LoadHistory,
    history_from_readings,
    history_from_rollups,
    merged_with_imports,
)
from domain.telemetry.minute_ranges import MINUTE_S
from domain.time_series.interval_block import steps_in
from domain.time_series.windows import NotAligned, TimeWindow

READINGS_S = 15
LONGEST_S: Mapping[int, int] = {
    READINGS_S: 86_400,
    MINUTE_S: 31 * 86_400,
    900: 92 * 86_400,
    3_600: 92 * 86_400,
}
"""Step -> the longest window."""
MAX_STEPS = 10_000
"""The most steps in one answer, which bounds the work of the store and the size in the cache."""
HISTORY_TTL_S = 600.0
MAX_HISTORIES = 256
HISTORIES_AT_ONCE = 4

_COLUMNS = ("mean_kw", "kwh", "min_kw", "max_kw", "coverage_pct")


class HistoryTooLong(ValueError):
    """The window is longer than its resolution allows. The text says which step would do."""


@dataclass(frozen=True)
class HistorySources:
    """The sources of one telemetry store."""

    store: TelemetryStore
    rollups: TelemetryRollups
    powers: MeterPowersView


class _History(msgspec.Struct, frozen=True):
    starts_at: datetime
    step_s: int
    columns: bytes
    """The columns of LoadHistory, one after the other: little-endian doubles."""


class HistoryAnswer(msgspec.Struct, frozen=True):
    series: LoadHistory
    answer: CachedAnswer[_History]


def check_length(window: TimeWindow, step_s: int) -> None:
    """Raises HistoryTooLong, and NotAligned for an unsupported step."""
    longest_s = LONGEST_S.get(step_s)
    if longest_s is None:
        raise NotAligned(
            f"there is no history in steps of {step_s} s, but of {', '.join(map(str, LONGEST_S))}"
        )
    if window.duration_s > longest_s:
        raise HistoryTooLong(f"steps of {step_s} s are given for at most {longest_s // 3_600} h at once")


def load_histories(
    sources: HistorySources, facility_ids: Sequence[str], window: TimeWindow, step_s: int
) -> dict[str, LoadHistory]:
    """The history of each facility. Raises HistoryTooLong, NotAligned, TelemetryStoreUnavailable."""
    check_length(window, step_s)
    if step_s == READINGS_S:
        return {
            f: history_from_readings(window, step_s, sources.powers.meter_powers(f, window))
            for f in facility_ids
        }
    if step_s == MINUTE_S:
        return {
            f: history_from_rollups(window, sources.rollups.rollups(f, window, step_s)) for f in facility_ids
        }
    block = sources.store.interval_series_of(facility_ids, window, step_s)
    return {
        f: merged_with_imports(block, f, sources.rollups.rollups(f, window, step_s)) for f in facility_ids
    }


class LoadHistories:
    """Load histories with caching. Belongs to one event loop. `cache` None: each process caches for itself."""

    def __init__(self, sources: HistorySources, clock: Clock, cache: SharedCache | None = None) -> None:
        self._sources = sources
        self._answers = ReadThroughCache(
            "history",
            self._load,
            _History,
            clock,
            cache,
            ttl_s=HISTORY_TTL_S,
            max_entries=MAX_HISTORIES,
            size_of=lambda history: len(history.columns),
            loads_at_once=HISTORIES_AT_ONCE,
        )

    async def history(self, facility_id: str, window: TimeWindow, step_s: int) -> HistoryAnswer:
        """The history of one facility. Raises TelemetryStoreUnavailable, HistoryTooLong, and NotAligned (also
        for more than MAX_STEPS)."""
        # Check before the request joins a batch.
        check_length(window, step_s)
        count = steps_in(window, step_s)
        if count > MAX_STEPS:
            raise NotAligned(f"{count} steps are more than the {MAX_STEPS} of one answer")
        if step_s == MINUTE_S and window.starts_at.timestamp() % MINUTE_S:
            raise NotAligned(f"{window.starts_at.isoformat()} is not on a whole minute")
        answer = await self._answers.get(_key(facility_id, window, step_s))
        found = answer.value
        if found is None:
            raise TelemetryStoreUnavailable("the store returned no series")
        columns = np.frombuffer(found.columns, dtype="<f8").astype(np.float64).reshape(len(_COLUMNS), -1)
        return HistoryAnswer(LoadHistory(found.starts_at, found.step_s, *columns), answer)

    def _load(self, keys: Sequence[str]) -> Mapping[str, _History]:
        """Load the histories of each window and step together."""
        groups: dict[tuple[TimeWindow, int], list[tuple[str, str]]] = {}
        for key in keys:
            facility_id, window, step_s = _parse_key(key)
            groups.setdefault((window, step_s), []).append((key, facility_id))
        found = {}
        for (window, step_s), group in groups.items():
            loaded = load_histories(self._sources, [facility for _, facility in group], window, step_s)
            for key, facility_id in group:
                one = loaded[facility_id]
                columns = np.stack([getattr(one, name) for name in _COLUMNS]).astype("<f8").tobytes()
                found[key] = _History(one.starts_at, step_s, columns)
        return found


def _key(facility_id: str, window: TimeWindow, step_s: int) -> str:
    return f"{window.starts_at.isoformat()} {window.ends_at.isoformat()} {step_s} {facility_id}"


def _parse_key(key: str) -> tuple[str, TimeWindow, int]:
    starts_at, ends_at, step_s, facility_id = key.split(" ", 3)
    return (
        facility_id,
        TimeWindow(datetime.fromisoformat(starts_at), datetime.fromisoformat(ends_at)),
        int(step_s),
    )

"""A readings file into the telemetry store: history as it stands in the file, in its own steps."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from application.ports.readings_file import FacilityReadings, ReadingsFile
from application.ports.telemetry_store import ImportedIntervals, TelemetryStore

ROWS_AT_ONCE = 50_000

OnProgress = Callable[[int, int], None]
"""(rows stored so far, rows in all)"""


class ImportedFacility(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds of one facility."""

    facility_id: str
    step_s: int
    rows: int
    missing: int
    """Steps without a load between the first and the last row: not in the file, or empty there."""
    gaps: int
    """Into how many stretches the missing ones fall."""
    starts_at: datetime
    ends_at: datetime


class HistoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import found and did; `unchanged` rows were stored before as they are in the file."""

    rows: int
    added: int
    changed: int
    unchanged: int
    facilities: tuple[ImportedFacility, ...]


def import_history(
    file: ReadingsFile,
    store: TelemetryStore,
    *,
    facility_ids: Collection[str] | None = None,
    on_progress: OnProgress = lambda _done, _all: None,
) -> HistoryReport:
    """Store the rows of those facilities (None: of all). The same file again changes nothing.

    Raises a ReadingsFileError before anything is stored, ReadingsRefused, or TelemetryStoreUnavailable: then
    what was stored so far stays, and the import can be repeated.
    """
    facilities = list(file.read(facility_ids).values())
    rows = sum(len(f.starts_at) for f in facilities)
    added = changed = done = 0
    for part in _parts(facilities):
        intervals = _intervals(part)
        outcome = store.import_intervals(intervals)
        added, changed, done = added + outcome.added, changed + outcome.changed, done + len(intervals)
        on_progress(done, rows)
    return HistoryReport(
        rows=rows,
        added=added,
        changed=changed,
        unchanged=rows - added - changed,
        facilities=tuple(_found(f) for f in facilities),
    )


def _parts(facilities: Sequence[FacilityReadings]) -> Iterator[list[FacilityReadings]]:
    """Groups of pieces of facilities, about ROWS_AT_ONCE rows each."""
    part: list[FacilityReadings] = []
    size = 0
    for facility in facilities:
        for first in range(0, len(facility.starts_at), ROWS_AT_ONCE):
            piece = _piece(facility, first)
            part.append(piece)
            size += len(piece.starts_at)
            if size >= ROWS_AT_ONCE:
                yield part
                part, size = [], 0
    if part:
        yield part


def _piece(facility: FacilityReadings, first: int) -> FacilityReadings:
    chosen = slice(first, first + ROWS_AT_ONCE)
    return FacilityReadings(
        facility.facility_id,
        facility.step_s,
        facility.starts_at[chosen],
        facility.load_kwh[chosen],
        facility.temp_c[chosen],
    )


def _intervals(part: Sequence[FacilityReadings]) -> ImportedIntervals:
    lengths = [len(f.starts_at) for f in part]
    steps = np.repeat(np.array([f.step_s for f in part], dtype=np.int64), lengths)
    starts_at = np.concatenate([f.starts_at for f in part])
    return ImportedIntervals(
        tuple(f.facility_id for f in part),
        np.repeat(np.arange(len(part), dtype=np.int64), lengths),
        starts_at.astype("datetime64[s]").astype(np.int64),
        steps,
        np.concatenate([f.load_kwh for f in part]) * 3600.0 / steps,
        np.concatenate([f.temp_c for f in part]),
    )


def _found(facility: FacilityReadings) -> ImportedFacility:
    series = facility.load_kw()
    absent = np.isnan(series.values)
    begins = absent & ~np.concatenate([[False], absent[:-1]])
    return ImportedFacility(
        facility_id=facility.facility_id,
        step_s=facility.step_s,
        rows=len(facility.starts_at),
        missing=int(absent.sum()),
        gaps=int(begins.sum()),
        starts_at=series.starts_at,
        ends_at=series.starts_at + timedelta(seconds=facility.step_s * len(series.values)),
    )

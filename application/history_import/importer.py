"""Import of a readings file into the telemetry store, in the file's own steps."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np
from msgspec import structs

from application.history_import.admission import Admission
from application.history_import.inspection import InspectedFacility
from application.history_import.interval_grid import steps_of
from application.ports.history_import import OrderedReadings, ReadingsBatch
from application.ports.telemetry.imported_history import ImportSpan, NewImport
from application.ports.telemetry.store import ImportedIntervals, TelemetryStore
from domain.event_sourcing.aggregate import Provenance

ROWS_AT_ONCE = 50_000

OnProgress = Callable[[int, int], None]
"""(rows stored so far, rows in total)"""
OnBegin = Callable[["HistoryReport"], UUID | None]
"""Called with the report of the checked file before the first row is stored; returns what identifies the import."""


class ImportedFacility(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file for one facility."""

    facility_id: str
    step_s: int
    rows: int
    missing: int
    """Steps without a load between the first and the last row: missing in the file, or empty there."""
    gaps: int
    """The number of gaps that the missing steps form."""
    starts_at: datetime
    ends_at: datetime


class HistoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an import. `unchanged` rows were stored before with the same values."""

    rows: int
    added: int
    changed: int
    unchanged: int
    facilities: tuple[ImportedFacility, ...]
    dry_run: bool = False
    """Nothing was stored; `added`, `changed` and `unchanged` are then 0."""
    inspected: tuple[InspectedFacility, ...] = ()
    """Findings of the inspection of the file."""
    unknown_facilities: tuple[str, ...] = ()
    """Those of the file that the portfolio does not have; their rows count in nothing until it has them."""


def new_import(
    import_id: UUID, provenance: Provenance, file_sha256: str, checked: HistoryReport
) -> NewImport:
    """The record of an import before its first row is stored."""
    return NewImport(
        import_id=import_id,
        begun_at=provenance.recorded_at,
        begun_by=provenance.actor,
        file_sha256=file_sha256,
        spans=tuple(
            ImportSpan(
                facility_id=one.facility_id,
                step_s=one.step_s,
                starts_at=one.starts_at,
                ends_at=one.ends_at,
                rows=one.rows,
            )
            for one in checked.facilities
        ),
    )


_Piece = tuple[ImportedFacility, ReadingsBatch]


def check_import(
    ordered: OrderedReadings,
    *,
    facility_ids: Collection[str] | None = None,
    admission: Admission | None = None,
) -> HistoryReport:
    """The report of an import without storing anything. Raises a ReadingsFileError like the import.

    `admission` says which rows may be stored; None: whatever the file has.
    """
    found = tuple(_describe(ordered, *one) for one in steps_of(ordered, facility_ids).items())
    return HistoryReport(
        rows=sum(one.rows for one in found),
        added=0,
        changed=0,
        unchanged=0,
        facilities=found,
        dry_run=True,
        unknown_facilities=() if admission is None else admission.check(ordered, found),
    )


def import_history(
    ordered: OrderedReadings,
    store: TelemetryStore,
    *,
    facility_ids: Collection[str] | None = None,
    admission: Admission | None = None,
    on_begin: OnBegin = lambda _checked: None,
    on_progress: OnProgress = lambda _done, _all: None,
) -> HistoryReport:
    """Store the rows of a file after checking it as a whole. Importing the same file again changes nothing.
    `admission` as for `check_import`.

    Raises a ReadingsFileError before anything is stored (including FileChanged: only checked rows are
    stored), what `on_begin` raises, ReadingsRefused, or TelemetryStoreUnavailable. In the last two cases, and when
    this process is killed, the stored rows stay. The import can be repeated, and counts stored rows as unchanged.
    """
    checked = check_import(ordered, facility_ids=facility_ids, admission=admission)
    ordered.refuse_if_changed()
    import_id = on_begin(checked)
    added = changed = done = 0
    for intervals in _parts(ordered, checked.facilities):
        outcome = store.import_intervals(intervals, import_id)
        added, changed, done = added + outcome.added, changed + outcome.changed, done + len(intervals)
        on_progress(done, checked.rows)
    unchanged = checked.rows - added - changed
    return structs.replace(checked, added=added, changed=changed, unchanged=unchanged, dry_run=False)


def _parts(ordered: OrderedReadings, facilities: Sequence[ImportedFacility]) -> Iterator[ImportedIntervals]:
    """Parts of facilities, with at least ROWS_AT_ONCE rows each except for the last."""
    pieces: list[_Piece] = []
    size = 0
    for facility in facilities:
        for batch in ordered.rows_of(facility.facility_id):
            pieces.append((facility, batch))
            size += len(batch.lines)
            if size >= ROWS_AT_ONCE:
                yield _intervals(pieces)
                pieces, size = [], 0
    if pieces:
        yield _intervals(pieces)


def _intervals(pieces: Sequence[_Piece]) -> ImportedIntervals:
    lengths = [len(batch.lines) for _, batch in pieces]
    steps = np.repeat(np.array([facility.step_s for facility, _ in pieces], dtype=np.int64), lengths)
    rows = ReadingsBatch.joined([batch for _, batch in pieces])
    return ImportedIntervals(
        tuple(facility.facility_id for facility, _ in pieces),
        np.repeat(np.arange(len(pieces), dtype=np.int64), lengths),
        rows.starts_at.astype("datetime64[s]").astype(np.int64),
        steps,
        rows.load_kwh * (3600.0 / steps),  # exact for steps of 900 s, as an export writes them
        rows.temp_c,
    )


def _describe(ordered: OrderedReadings, facility_id: str, step_s: int) -> ImportedFacility:
    """The content for one facility, whose rows are on regular steps without duplicates."""
    step = np.timedelta64(step_s, "s")
    first: np.datetime64 | None = None
    rows = known = gaps = steps = 0
    known_through = -1
    for batch in ordered.rows_of(facility_id):
        first = batch.starts_at[0] if first is None else first
        at = (batch.starts_at - first) // step
        with_load = at[~np.isnan(batch.load_kwh)]
        gaps += int((np.diff(with_load, prepend=known_through) > 1).sum())
        known_through = int(with_load[-1]) if len(with_load) else known_through
        rows, known, steps = rows + len(at), known + len(with_load), int(at[-1]) + 1
    starts_at = (first or np.datetime64(0, "us")).astype(datetime).replace(tzinfo=UTC)
    return ImportedFacility(
        facility_id=facility_id,
        step_s=step_s,
        rows=rows,
        missing=steps - known,
        gaps=gaps + (known_through < steps - 1),
        starts_at=starts_at,
        ends_at=starts_at + timedelta(seconds=step_s * steps),
    )

"""Decoding the archived original messages again, with the decoder of now: the repair of a decoder's error.

What the decoder of now reads otherwise than the one of then is stored as a correction, of a higher revision. So
quarter-hours are finalized again, and the corrections of finalized ones reach the measurements. A reading is left as
it is where the store has something else than what was decoded then: its meter corrected it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import NamedTuple

import msgspec

from application.ports.archive import Archive
from application.ports.telemetry.listed_meters import Listing
from application.ports.telemetry.meter_readings import MeterReadingsView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.raw_archive.archived_packs import RestoreSelection, all_entries, archived_packs
from application.raw_archive.original_messages import originals_in
from application.raw_archive.restore import OnProgress, RestoreWriter, finalize_partitions
from application.telemetry.ingest.batch_codec import ReadingBatch
from application.telemetry.ingest.lenient_parser import MAX_REVISION
from application.telemetry.ingest.message_parser import parse_message
from application.telemetry.ingest.original_payloads import BrokenPayloads
from domain.telemetry.meter_reading import TRUST, MeterReading, conflict_rank
from domain.telemetry.reading_arrays import ReadingColumns
from domain.time_series.windows import TimeWindow

MARK = "decoded_again"
"""The name of the additional field of such a correction: how often the reading was decoded again."""
_HOUR = timedelta(hours=1)

Place = tuple[str, str, datetime]
"""Facility, meter and time."""
Meters = Callable[[set[str]], Listing]


class DecodeAgainReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result. Readings are those in the selection."""

    objects: int
    messages: int
    readings: int
    """As the decoder of now reads them."""
    differing: int
    """Readings that it reads otherwise, or did not read then."""
    corrected: int
    """Of these, the ones that were stored as a correction; in a dry run those that would be."""
    repaired_before: int
    replaced: int
    """The store has something else than what was decoded then, or an unlisted meter sent them: left as they are."""
    not_decoded: int
    """Readings of then that the decoder of now does not read, or whose message was not kept: left as they are."""
    without_originals: int
    """Packs of readings without original messages."""
    dry_run: bool


class _Difference(NamedTuple):
    then: MeterReading | None
    now: MeterReading


class _Counts(msgspec.Struct):
    objects: int = 0
    messages: int = 0
    readings: int = 0
    differing: int = 0
    corrected: int = 0
    repaired_before: int = 0
    replaced: int = 0
    not_decoded: int = 0
    without_originals: int = 0


def decode_again(
    archive: Archive,
    store: TelemetryStore,
    view: MeterReadingsView,
    meters: Meters,
    selection: RestoreSelection,
    *,
    rollups: TelemetryRollups | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _done, _all: None,
) -> DecodeAgainReport:
    """Decode the original messages of the selection again, object by object. Repeating it changes nothing.

    `meters` gives the listed meters of facilities: readings that were not read then count only of these.

    Raises ArchiveContradicted, ArchiveUnavailable, NotArchived, TelemetryStoreUnavailable or an error of `meters`.
    """
    chosen = [entry for entry in all_entries(archive) if selection.may_be_in(entry)]
    of, done = sum(entry.stored_bytes for entry in chosen), 0
    counts, writer = _Counts(), RestoreWriter(None if dry_run else store)
    for entry in chosen:
        found: dict[Place, _Difference] = {}
        for _, batch in archived_packs(archive, entry):
            if isinstance(batch, ReadingBatch):
                found |= _differences(batch, selection, counts)
        for corrections in _corrections(found, view, meters, counts).values():
            counts.corrected += len(corrections)
            writer.take(corrections)
        writer.finish()  # the next object may hold the same readings
        counts.objects += 1
        done += entry.stored_bytes
        on_progress(done, of)
    if rollups is not None and not dry_run:
        finalize_partitions(rollups, writer.written_to)
    return DecodeAgainReport(dry_run=dry_run, **msgspec.structs.asdict(counts))


def _differences(
    batch: ReadingBatch, selection: RestoreSelection, counts: _Counts
) -> dict[Place, _Difference]:
    """The differences of the decoder of now for the messages of a pack."""
    then = _by_place(selection.of(batch.readings))
    try:
        originals = originals_in(batch, selection)
    except BrokenPayloads:
        originals = []
    if not originals:
        counts.without_originals += bool(then)
        return {}
    read = [
        reading
        for one in originals
        for reading in selection.of(parse_message(one.topic, one.payload, now=one.received_at).readings)
    ]
    counts.messages += len(originals)
    by_place = _by_place(read)
    counts.readings += len(by_place)
    # Of two unlike readings of one moment, such as a reading and its correction, the message of the one that counts may
    # be beyond the quota of ingest.
    now = {place: _best(some) for place, some in by_place.items() if len(some) >= len(then.get(place, ()))}
    counts.not_decoded += len(then.keys() - now.keys())
    before = {place: _best(some) for place, some in then.items()}
    return {
        place: _Difference(before.get(place), reading)
        for place, reading in now.items()
        if before.get(place) != reading
    }


def _by_place(readings: Sequence[MeterReading]) -> dict[Place, set[MeterReading]]:
    """The unlike readings of each place."""
    found: dict[Place, set[MeterReading]] = {}
    for reading in readings:
        found.setdefault((reading.facility_id, reading.meter_id, reading.ts), set()).add(reading)
    return found


def _best(readings: Collection[MeterReading]) -> MeterReading:
    return max(readings, key=conflict_rank)


def _corrections(
    found: Mapping[Place, _Difference], view: MeterReadingsView, meters: Meters, counts: _Counts
) -> dict[str, list[MeterReading]]:
    """Facility -> the corrections to be stored."""
    counts.differing += len(found)
    listing = meters({facility_id for facility_id, _, _ in found}) if found else {}
    stored = dict(_stored(found, view))
    corrections: dict[str, list[MeterReading]] = {}
    for place, (then, now) in found.items():
        facility_id, meter_id, _ = place
        listed = listing.get(facility_id)
        there = stored.get(place)
        if then is None and (listed is None or (listed and meter_id not in listed)):
            counts.replaced += 1
        elif there is not None and _values(there) == _values(now):
            counts.repaired_before += 1
        elif there is not None and not _times_decoded(there) and (then is None or not _same(there, then)):
            counts.replaced += 1
        else:
            revision = now.revision if there is None else max(now.revision, there.revision + 1)
            if revision > MAX_REVISION:
                counts.replaced += 1
                continue
            again = 1 if there is None else 1 + _times_decoded(there)
            corrections.setdefault(facility_id, []).append(
                msgspec.structs.replace(now, revision=revision, extra=_marked(now.extra, again))
            )
    return corrections


def _stored(
    found: Mapping[Place, _Difference], view: MeterReadingsView
) -> Iterator[tuple[Place, MeterReading]]:
    """The stored readings of the places, hour by hour."""
    hours = {(f, ts.astimezone(UTC).replace(minute=0, second=0, microsecond=0)) for f, _, ts in found}
    for facility_id, start in sorted(hours):
        for one in view.meter_readings(facility_id, TimeWindow(start, start + _HOUR)):
            for reading in _readings_of(facility_id, one.meter_id, one.columns):
                place = facility_id, one.meter_id, reading.ts
                if place in found:
                    yield place, reading


def _readings_of(facility_id: str, meter_id: str, columns: ReadingColumns) -> Iterator[MeterReading]:
    names = ("ts_us", "kw", "kwh_total", "seq", "trust", "revision", "incomplete", "extra")
    for us, kw, register, seq, trust, revision, incomplete, extra in zip(
        *(getattr(columns, name).tolist() for name in names), strict=True
    ):
        yield MeterReading(
            facility_id,
            meter_id,
            datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us),
            None if isnan(kw) else kw,
            None if isnan(register) else register,
            None if seq < 0 else seq,
            TRUST[trust],
            incomplete,
            extra,
            revision,
        )


def _values(reading: MeterReading) -> tuple[object, ...]:
    """The values that a decoder reads, without the revision and the mark of a correction."""
    return (
        reading.kw,
        reading.kwh_total,
        reading.seq,
        reading.quality,
        reading.incomplete,
        _unmarked(reading.extra),
    )


def _same(stored: MeterReading, then: MeterReading) -> bool:
    return _values(stored) == _values(then) and stored.revision == then.revision


def _fields(extra: str | None) -> dict[str, object]:
    try:
        found = msgspec.json.decode(extra) if extra else {}
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _times_decoded(reading: MeterReading) -> int:
    count = _fields(reading.extra).get(MARK, 0)
    return count if isinstance(count, int) else 0


def _unmarked(extra: str | None) -> dict[str, object]:
    return {name: value for name, value in _fields(extra).items() if name != MARK}


def _marked(extra: str | None, count: int) -> str:
    return msgspec.json.encode(_unmarked(extra) | {MARK: count}).decode()

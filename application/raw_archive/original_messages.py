"""Original messages of meters in the raw archive: those that hold the readings of a meter around a time."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

import msgspec

from application.ports.archive import Archive
from application.raw_archive.archived_packs import (
    RestoreSelection,
    all_entries,
    archived_packs,
    facility_in_topic,
)
from application.telemetry.ingest.batch_codec import MalformedMessages, ReadingBatch
from application.telemetry.ingest.message_parser import parse_message
from application.telemetry.ingest.original_payloads import BrokenPayloads, ReceivedPayload, unpack_payloads
from domain.telemetry.meter_reading import MeterReading


class OriginalMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as its meter or gateway sent it, and what was read from it then."""

    topic: str
    received_at: datetime
    payload: bytes
    sha256: str
    """Of the payload, hexadecimal."""
    object: str
    stream_seq: int
    """Where its pack is in the archive: the object, and the sequence in the telemetry log."""
    decoded: tuple[MeterReading, ...]
    """The readings of the requested meter and time in that pack, as they were stored."""


class OriginalsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The messages, by the time of receipt."""

    messages: tuple[OriginalMessage, ...]
    packs_without: int
    """Packs that have such readings and no original messages: they are older, the setting was off, or meters sent
    more than is kept."""


def originals_in(batch: ReadingBatch, selection: RestoreSelection) -> list[ReceivedPayload]:
    """The messages of the batch from the selected facilities. Raises BrokenPayloads."""
    found = [] if batch.originals is None else unpack_payloads(batch.originals)
    if selection.facility_ids is None:
        return found
    return [one for one in found if facility_in_topic(one.topic) in selection.facility_ids]


def find_originals(
    archive: Archive, facility_id: str, meter_id: str, starts_at: datetime, ends_at: datetime
) -> OriginalsReport:
    """The messages with readings of the meter from `starts_at` to before `ends_at`.

    Raises ArchiveContradicted, ArchiveUnavailable or NotArchived.
    """
    selection = RestoreSelection(starts_at=starts_at, ends_at=ends_at, facility_ids=frozenset({facility_id}))
    messages: list[OriginalMessage] = []
    without = 0
    for entry in all_entries(archive):
        if not selection.may_be_in(entry):
            continue
        for logged, batch in archived_packs(archive, entry):
            if batch is None or isinstance(batch, MalformedMessages):
                continue
            decoded = tuple(r for r in selection.of(batch.readings) if r.meter_id == meter_id)
            found = list(_matching(batch, selection, meter_id))
            without += bool(decoded) and not found
            messages += [
                OriginalMessage(
                    topic=one.topic,
                    received_at=one.received_at,
                    payload=one.payload,
                    sha256=sha256(one.payload).hexdigest(),
                    object=entry.object,
                    stream_seq=logged.stream_seq,
                    decoded=decoded,
                )
                for one in found
            ]
    messages.sort(key=lambda one: (one.received_at, one.stream_seq))
    return OriginalsReport(messages=tuple(messages), packs_without=without)


def _matching(batch: ReadingBatch, selection: RestoreSelection, meter_id: str) -> Iterator[ReceivedPayload]:
    try:
        originals = originals_in(batch, selection)
    except BrokenPayloads:
        return
    for one in originals:
        parsed = parse_message(one.topic, one.payload, now=one.received_at)
        if any(r.meter_id == meter_id for r in selection.of(parsed.readings)):
            yield one

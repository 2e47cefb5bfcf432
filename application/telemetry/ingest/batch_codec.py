"""The packed form of readings in the telemetry log: columns, so that no code handles each reading.

A message of the log is a MessagePack map. Readings whose ids or numbers do not fit into columns are stored one by one
under `readings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.telemetry.ingest.fast_parser import PlainReadings, ReadingMessage
from application.telemetry.ingest.lenient_parser import QUALITY_WORDS
from application.telemetry.ingest.message_parser import MalformedReading
from domain.event_sourcing.decoders import msgpack_decoder
from domain.telemetry.meter_reading import TRUST, MeterReading
from domain.telemetry.reading_block import (
    SEPARATOR,
    RareColumns,
    ReadingBlock,
    UnjoinableId,
    microseconds,
)

_TRUST = {word: TRUST.index(quality) for word, quality in QUALITY_WORDS.items()}

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the difference of two times without an offset
_EARLIEST_US, _LATEST_US = (
    (moment - _EPOCH) // timedelta(microseconds=1)
    for moment in (datetime.min, datetime.max)  # noqa: DTZ901
)


class MalformedBatch(ValueError):
    """A packed message of the telemetry log that cannot be decoded."""


class ReadingBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one message of the telemetry log: readings of one partition."""

    received_at: datetime
    """When ingest received the first of them."""
    readings: Sequence[MeterReading]
    originals: bytes | None = None
    """The messages that they were read from (application/telemetry/ingest/original_payloads.py); None: not stored."""


class MalformedMessages(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one message of the log's malformed partition, on its way to the dead letters."""

    received_at: datetime
    malformed: list[MalformedReading]


class _Rare(msgspec.Struct, frozen=True, array_like=True):
    """Like RareColumns: a byte, four bytes and a byte of each reading, little-endian."""

    trust: bytes
    revision: bytes
    incomplete: bytes
    extra: list[str | None]


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """Like ReadingBlock: four bytes per run, and eight bytes per reading and column, little-endian."""

    facility_ids: list[str]
    counts: bytes
    meter_ids: str
    ts_us: bytes
    kw: bytes
    kwh_total: bytes
    seq: bytes
    rare: _Rare | None = None


class _PackedBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of `columns` and `readings` is set."""

    received_at: datetime
    columns: _Columns | None = None
    readings: list[MeterReading] | None = None
    originals: bytes | None = None


_decode = msgpack_decoder(_PackedBatch).decode
_decode_malformed = msgpack_decoder(MalformedMessages).decode
_encode = msgspec.msgpack.Encoder().encode


def pack(batch: ReadingBatch | MalformedMessages) -> bytes:
    """Encode a batch as a message of the telemetry log."""
    if isinstance(batch, MalformedMessages):
        return _encode(batch)
    try:
        columns = _columns(ReadingBlock.of(batch.readings))
    except (UnjoinableId, OverflowError):  # the store reports why it refuses them
        packed = _PackedBatch(received_at=batch.received_at, readings=list(batch.readings))
    else:
        packed = _PackedBatch(received_at=batch.received_at, columns=columns)
    return _encode(msgspec.structs.replace(packed, originals=batch.originals))


def pack_messages(
    parts: Sequence[Sequence[MeterReading]], *, received_at: datetime, originals: bytes | None
) -> bytes:
    """Encode the readings of messages, one part each, as one message of the telemetry log."""
    return pack(ReadingBatch(received_at=received_at, readings=in_columns(parts), originals=originals))


def unpack(body: bytes) -> ReadingBatch:
    """The inverse of `pack`. Raises MalformedBatch."""
    try:
        packed = _decode(body)
        readings = packed.readings if packed.columns is None else _block(packed.columns)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedBatch(f"not a packed batch of readings: {error}") from error
    if readings is None:
        raise MalformedBatch("not a packed batch of readings: there are none in it")
    return ReadingBatch(received_at=packed.received_at, readings=readings, originals=packed.originals)


def unpack_readings(bodies: Sequence[bytes]) -> Sequence[MeterReading]:
    """The readings of several messages of the log, as a block where all of them are. Raises MalformedBatch."""
    parts = [unpack(body).readings for body in bodies]
    blocks = [part for part in parts if isinstance(part, ReadingBlock)]
    if len(blocks) == len(parts):
        return ReadingBlock.joined(blocks)
    return list(chain.from_iterable(parts))


def unpack_malformed(body: bytes) -> MalformedMessages:
    """Like `unpack`, for the malformed partition. Raises MalformedBatch."""
    try:
        return _decode_malformed(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedBatch(f"not a packed batch of malformed messages: {error}") from error


def in_columns(parts: Sequence[Sequence[MeterReading]]) -> Sequence[MeterReading]:
    """All of `parts`, each of one message, in columns where possible. Plain readings come first."""
    plain = [part for part in parts if isinstance(part, PlainReadings)]
    others = [reading for part in parts if not isinstance(part, PlainReadings) for reading in part]
    try:
        return ReadingBlock.joined([_block_of(plain), ReadingBlock.of(others)])
    except UnjoinableId:  # an id contains the separator: no columns
        return [*chain.from_iterable(plain), *others]


def _block_of(parts: Sequence[PlainReadings]) -> ReadingBlock:
    items = list(chain.from_iterable([part.items for part in parts]))
    facility_ids: list[str] = []
    counts: list[int] = []
    for part in parts:
        if facility_ids and facility_ids[-1] == part.facility_id:
            counts[-1] += len(part.items)
        else:
            facility_ids.append(part.facility_id)
            counts.append(len(part.items))
    return ReadingBlock(
        facility_ids=facility_ids,
        counts=np.array(counts, dtype=np.int64),
        meter_ids=SEPARATOR.join([part.meter_ids for part in parts]),
        ts_us=microseconds([item.ts for item in items]),
        kw=np.array([item.kw for item in items], dtype=np.float64),
        kwh_total=np.array([item.kwh_total for item in items], dtype=np.float64),
        seq=np.array([-1 if item.seq is None else item.seq for item in items], dtype=np.int64),
        rare=_rare_of(items),
    )


def _rare_of(items: Sequence[ReadingMessage]) -> RareColumns | None:
    words, revisions = [item.quality for item in items], [item.revision for item in items]
    measured = words.count("measured")
    if (measured < len(words) and measured + words.count("OK") < len(words)) or any(revisions):
        rare = RareColumns.defaults(len(items))
        return msgspec.structs.replace(
            rare,
            trust=np.array([_TRUST[word] for word in words], dtype=np.int64),
            revision=np.array(revisions, dtype=np.int64),
        )
    return None


def _columns(block: ReadingBlock) -> _Columns:
    rare = block.rare
    return _Columns(
        list(block.facility_ids),
        _bytes(block.counts, "<u4"),
        block.meter_ids,
        _bytes(block.ts_us, "<i8"),
        _bytes(block.kw, "<f8"),
        _bytes(block.kwh_total, "<f8"),
        _bytes(block.seq, "<i8"),
        None
        if rare is None
        else _Rare(
            _bytes(rare.trust, "<u1"),
            _bytes(rare.revision, "<i4"),
            _bytes(rare.incomplete, "<u1"),
            rare.extra,
        ),
    )


def _block(columns: _Columns) -> ReadingBlock:
    """Raises ValueError."""
    rare = columns.rare
    ts_us = _numbers(columns.ts_us, "<i8")
    if ((ts_us < _EARLIEST_US) | (ts_us > _LATEST_US)).any():
        raise ValueError("a time outside the years 1 to 9999")
    return ReadingBlock(
        facility_ids=columns.facility_ids,
        counts=_numbers(columns.counts, "<u4"),
        meter_ids=columns.meter_ids,
        ts_us=ts_us,
        kw=np.frombuffer(columns.kw, "<f8"),
        kwh_total=np.frombuffer(columns.kwh_total, "<f8"),
        seq=_numbers(columns.seq, "<i8"),
        rare=None if rare is None else _rare_columns(rare),
    )


def _rare_columns(rare: _Rare) -> RareColumns:
    trust = _numbers(rare.trust, "<u1")
    if (trust >= len(TRUST)).any():
        raise ValueError("a quality that this release does not know")
    return RareColumns(
        trust, _numbers(rare.revision, "<i4"), _numbers(rare.incomplete, "<u1").astype(np.bool_), rare.extra
    )


def _bytes(values: NDArray[np.generic], kind: str) -> bytes:
    return values.astype(kind).tobytes()


def _numbers(body: bytes, kind: str) -> NDArray[np.int64]:
    return np.frombuffer(body, kind).astype(np.int64, copy=False)

"""An object of the raw archive: messages of one partition of the telemetry log, in order, gzipped.

Unpacked it is a sequence of MessagePack values, each after its length (4 bytes, big-endian): first an
ObjectHeader, then one RawMessage per message. gzip is used since every tool can open it; level 1 costs 0.3 to
0.5 us per reading, a fifth of level 6.
"""

import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from gzip import GzipFile
from io import BytesIO
from typing import TypeVar

import msgspec

from application.ports.raw_archive.telemetry_log import RawMessage
from application.telemetry.ingest.batch_codec import MalformedBatch, unpack, unpack_malformed
from domain.event_sourcing.decoders import msgpack_decoder
from domain.telemetry.meter_reading import MALFORMED

FORMAT = 1
MAX_RAW_BYTES = 32_000_000
"""Of the messages' bodies. An object that reaches it is closed before its period ends."""
MAX_MESSAGES = 100_000
_GZIP = 31
_LENGTH_BYTES = 4
_MAX_VALUE_BYTES = 16_000_000


class BrokenObject(ValueError):
    """An object of the archive is not what was stored there."""


class ObjectHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of an object."""

    format: int
    log_id: str
    partition: int
    first_seq: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The counted content of an object."""

    messages: int
    readings: int
    malformed: int
    """Unusable messages of meters."""
    undecodable: int
    """Messages of the log that are not packed batches."""
    raw_bytes: int
    first_seq: int
    last_seq: int
    logged_from: datetime
    logged_through: datetime
    readings_from: datetime | None
    """When the oldest and the newest of its readings were measured; None without any."""
    readings_through: datetime | None


class MessageCounter:
    """Counts messages in the order of their sequence. Raises BrokenObject for another order."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self.messages = self.raw_bytes = 0
        self._readings = self._malformed = self._undecodable = 0
        self._first: RawMessage | None = None
        self._last: RawMessage | None = None
        self._measured: tuple[datetime, datetime] | None = None

    def add(self, message: RawMessage) -> None:
        if self._last is not None and message.stream_seq <= self._last.stream_seq:
            raise BrokenObject(f"sequence {message.stream_seq} comes after {self._last.stream_seq}")
        self._first, self._last = self._first or message, message
        self.messages += 1
        self.raw_bytes += len(message.body)
        try:
            if self._partition == MALFORMED:
                self._malformed += len(unpack_malformed(message.body).malformed)
            else:
                self._count_readings([r.ts for r in unpack(message.body).readings])
        except MalformedBatch:
            self._undecodable += 1

    def _count_readings(self, measured_at: list[datetime]) -> None:
        if measured_at:
            self._readings += len(measured_at)
            if self._measured is not None:
                measured_at.extend(self._measured)
            self._measured = min(measured_at), max(measured_at)

    def contents(self) -> Contents:
        if self._first is None or self._last is None:
            raise BrokenObject("there is no message in it")
        oldest, newest = self._measured or (None, None)
        return Contents(
            messages=self.messages,
            readings=self._readings,
            malformed=self._malformed,
            undecodable=self._undecodable,
            raw_bytes=self.raw_bytes,
            first_seq=self._first.stream_seq,
            last_seq=self._last.stream_seq,
            logged_from=self._first.logged_at,
            logged_through=self._last.logged_at,
            readings_from=oldest,
            readings_through=newest,
        )


class ObjectWriter:
    """Writes messages one by one into a compressed buffer."""

    def __init__(self, header: ObjectHeader) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._deflate = zlib.compressobj(1, wbits=_GZIP)
        self._pieces = [self._deflate.compress(_framed(self._encode(header)))]
        self._counter = MessageCounter(header.partition)

    @property
    def full(self) -> bool:
        counter = self._counter
        return counter.raw_bytes >= MAX_RAW_BYTES or counter.messages >= MAX_MESSAGES

    @property
    def empty(self) -> bool:
        return self._counter.messages == 0

    def add(self, message: RawMessage) -> None:
        self._counter.add(message)
        if piece := self._deflate.compress(_framed(self._encode(message))):
            self._pieces.append(piece)

    def finished(self) -> tuple[bytes, Contents]:
        """The object's bytes and content. Nothing can be added afterwards."""
        self._pieces.append(self._deflate.flush())
        return b"".join(self._pieces), self._counter.contents()


def messages_of(content: bytes) -> tuple[ObjectHeader, Iterator[RawMessage]]:
    """The messages of an object. Raises BrokenObject, also from the iterator, which may end early in a broken
    object."""
    values = _values(content)
    header = _decoded(next(values, b""), _decode_header)
    if header.format != FORMAT:
        raise BrokenObject(f"its format is {header.format}; this release reads {FORMAT}")
    return header, (_decoded(value, _decode_message) for value in values)


def contents_of(content: bytes) -> tuple[ObjectHeader, Contents]:
    """The content, counted again. Raises BrokenObject."""
    header, messages = messages_of(content)
    counter = MessageCounter(header.partition)
    for message in messages:
        counter.add(message)
    return header, counter.contents()


_decode_header = msgpack_decoder(ObjectHeader).decode
_decode_message = msgpack_decoder(RawMessage).decode
Decoded = TypeVar("Decoded")


def _decoded(value: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        return decode(value)
    except (msgspec.DecodeError, ValueError) as error:
        raise BrokenObject(f"a value of it cannot be read: {error}") from error


def _framed(value: bytes) -> bytes:
    return len(value).to_bytes(_LENGTH_BYTES, "big") + value


def _values(content: bytes) -> Iterator[bytes]:
    """Unpack value by value: a whole object may be ten times its size."""
    try:
        with GzipFile(fileobj=BytesIO(content)) as file:
            while framed := file.read(_LENGTH_BYTES):
                length = int.from_bytes(framed, "big")
                value = file.read(length) if length <= _MAX_VALUE_BYTES else b""
                if len(framed) < _LENGTH_BYTES or len(value) < length:
                    raise BrokenObject("a value of it is cut off")
                yield value
    except (EOFError, OSError, zlib.error) as error:
        raise BrokenObject(f"it cannot be unpacked: {error}") from error

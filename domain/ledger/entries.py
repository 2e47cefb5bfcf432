"""The ledger's data: the hash of each log row, checkpoints, and the differences between two states of a log.

An entry is the position of a row (8 bytes, big-endian, signed) and its leaf hash (32 bytes). Entries are
packed in the order of the log. The index of a leaf in the tree is its index in that order, not its position,
because positions have gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from domain.ledger.merkle import Frontier, leaf_hash

DEMAND_RESPONSE = "demand-response"
FORECASTS = "forecasts"
LOGS = (DEMAND_RESPONSE, FORECASTS)
ENTRY_BYTES = 40
TILE_ENTRIES = 256
"""Entries in a tile of the ledger's table, and hashes in a tile of its tree: eight levels of it."""
RECORDED_MARK = b'"recorded_at":"'
"""Stands in a stored domain event before its time; inside a text, its quotes would be escaped."""
RECORDED_BYTES = len(RECORDED_MARK) + len("2026-07-14T21:00:15.123456Z")
"""With the longest time."""
NO_PREVIOUS_CHECKPOINT = "0" * 64
"""The previous hash in the first checkpoint."""
MIN_POSITION = -(2**63)
"""Below every position that a table can hold, including a forged one."""
MAX_POSITION = 2**63 - 1
"""The highest position that a table can hold."""

DifferenceKind = Literal["changed", "removed", "inserted"]


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a log as stored."""

    position: int
    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes

    def leaf_data(self) -> bytes:
        """The canonical bytes of the row: its five fields, each after its length (4 bytes, big-endian).

        Position and version are 8 bytes, big-endian, signed; the id is its 16 bytes; the topic is UTF-8.
        PostgreSQL's binary COPY writes a row of these columns as the same bytes after a field count.
        Raises OverflowError for numbers that no table can hold.
        """
        topic = self.topic.encode()
        fields = (
            self.position.to_bytes(8, "big", signed=True),
            self.originator_id.bytes,
            self.originator_version.to_bytes(8, "big", signed=True),
            topic,
            self.state,
        )
        return b"".join(struct.pack(">I", len(field)) + field for field in fields)

    def leaf(self) -> bytes:
        return leaf_hash(self.leaf_data())

    def entry(self) -> bytes:
        return self.position.to_bytes(8, "big", signed=True) + self.leaf()


def unhex(text: str) -> bytes:
    """The bytes of lower-case hexadecimal digits. Raises ValueError for any other spelling, so that each
    value has one.
    """
    value = bytes.fromhex(text)
    if value.hex() != text:
        raise ValueError("hexadecimal digits are written in lower case, without spaces")
    return value


class TileRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of packed entries in the archive."""

    name: str
    first: int
    """The index in the tree of its first leaf."""
    count: int
    sha256: str


class LogHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of one log in a checkpoint."""

    log: str
    size: int
    """The number of leaves."""
    root: str
    """Hexadecimal, like all hashes here."""
    last_position: int
    """0 for an empty log."""
    peaks: tuple[str, ...]
    """The frontier. The next checkpoint extends the signed tree from it, independently of the database."""
    tiles: tuple[TileRef, ...]
    """The entries since the previous checkpoint."""

    def frontier(self) -> Frontier:
        """The frontier of the tree. Raises ValueError for invalid peaks."""
        return Frontier(self.size, [unhex(peak) for peak in self.peaks])


class MapHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The map of the streams of one log in a checkpoint (domain/ledger/stream_map.py), over the same domain events
    as the head of that log.
    """

    log: Literal["demand-response"] = "demand-response"
    streams: int
    root: str


class Checkpoint(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="format",
    tag="gridproof-ledger-checkpoint.v2",
):
    """The heads of all logs, and the last version of every stream, at one moment; `signed_bytes` are signed."""

    number: int
    """From 1, without gaps."""
    at: datetime
    previous: str
    """SHA-256 of the signed bytes of the previous checkpoint."""
    heads: tuple[LogHead, ...]
    stream_map: MapHead
    complete_at: datetime | None
    """Every domain event that both logs had at this moment is under the checkpoint, so a later one was recorded later.
    None while the ledger has never caught up with the logs."""

    def signed_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    def digest(self) -> str:
        return sha256(self.signed_bytes()).hexdigest()

    def head_of(self, log: str) -> LogHead:
        """The head of that log; an empty one if the checkpoint does not contain it."""
        return next((head for head in self.heads if head.log == log), empty_head(log))


class ExtendedCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint by its number and digest; number 0 and NO_PREVIOUS_CHECKPOINT before the first one."""

    number: int
    digest: str


class CheckpointAfterRestore(Checkpoint, frozen=True, kw_only=True, tag="gridproof-ledger-checkpoint.v3"):
    """The first checkpoint after the database was restored. It names two: `previous` is the newest one of the archive,
    and the heads extend those of `extends`. What the checkpoints between them sealed is lost as far as the log does
    not have it."""

    extends: ExtendedCheckpoint


def empty_head(log: str) -> LogHead:
    return LogHead(log=log, size=0, root=Frontier().root().hex(), last_position=0, peaks=(), tiles=())


class Difference(msgspec.Struct, frozen=True):
    """A position at which the log differs from the sealed entries."""

    kind: DifferenceKind
    position: int


def positions_of(entries: bytes) -> npt.NDArray[np.int64]:
    """The positions of packed entries."""
    return _rows(entries)[:, :8].copy().view(">i8").ravel().astype(np.int64)


def hashes_of(entries: bytes) -> bytes:
    """The packed leaf hashes of packed entries."""
    return _rows(entries)[:, 8:].tobytes()


def last_position_of(entries: bytes) -> int:
    """The position of the last entry; 0 if there are none."""
    return int(struct.unpack(">q", entries[-ENTRY_BYTES : 8 - ENTRY_BYTES])[0]) if entries else 0


def _rows(entries: bytes) -> npt.NDArray[np.uint8]:
    """The entries as rows of bytes. Raises ValueError unless these are whole entries."""
    return np.frombuffer(entries, dtype=np.uint8).reshape(-1, ENTRY_BYTES)


def differences(sealed: bytes, current: bytes) -> Iterator[Difference]:
    """Every position at which two packed lists of entries differ, in ascending order."""
    if sealed == current:
        return
    sealed_at, current_at = positions_of(sealed).tolist(), positions_of(current).tolist()
    left = right = 0
    while left < len(sealed_at) or right < len(current_at):
        if right == len(current_at) or (left < len(sealed_at) and sealed_at[left] < current_at[right]):
            yield Difference("removed", sealed_at[left])
            left += 1
        elif left == len(sealed_at) or current_at[right] < sealed_at[left]:
            yield Difference("inserted", current_at[right])
            right += 1
        else:
            if _entry(sealed, left) != _entry(current, right):
                yield Difference("changed", sealed_at[left])
            left, right = left + 1, right + 1


def _entry(entries: bytes, number: int) -> bytes:
    return entries[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES]

"""The ledger: what of each row of a log is hashed, what a checkpoint signs, and how two accounts of a log differ.

An entry is what the ledger keeps of a row: its position (8 bytes, big-endian, signed) and its leaf hash (32 bytes).
Entries are packed, in the order of the log. A leaf's place in the tree is its place in that order; it is not its
position, for positions have gaps.
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
NOTHING_BEFORE = "0" * 64
"""What the first checkpoint names as the hash of the one before it."""
BEFORE_ALL = -(2**63)
"""Before every position that a table can hold, also one that was forged."""
LAST_OF_ALL = 2**63 - 1

DifferenceKind = Literal["changed", "removed", "inserted"]


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a log as it is stored."""

    position: int
    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes

    def leaf_data(self) -> bytes:
        """The canonical bytes of the row: its five fields, each after its length (4 bytes, big-endian).

        Position and version are 8 bytes, big-endian, signed; the id is its 16 bytes; the topic is UTF-8. PostgreSQL's
        binary COPY writes a row of these columns as the same bytes after a field count.
        """
        topic = self.topic.encode()
        fields = (
            struct.pack(">q", self.position),
            self.originator_id.bytes,
            struct.pack(">q", self.originator_version),
            topic,
            self.state,
        )
        return b"".join(struct.pack(">I", len(field)) + field for field in fields)

    def leaf(self) -> bytes:
        return leaf_hash(self.leaf_data())

    def entry(self) -> bytes:
        return struct.pack(">q", self.position) + self.leaf()


def unhex(text: str) -> bytes:
    """Raises ValueError for anything but lower-case digits: one value has one way to be written."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("hexadecimal digits are written in lower case, without spaces")
    return found


class TileRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of packed entries in the archive."""

    name: str
    first: int
    """The place in the tree of its first leaf."""
    count: int
    sha256: str


class LogHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log as a checkpoint has it."""

    log: str
    size: int
    """Leaves."""
    root: str
    """Hexadecimal, like all hashes here."""
    last_position: int
    """0 for an empty log."""
    peaks: tuple[str, ...]
    """The frontier: by it the next checkpoint extends what was signed, whatever became of the database."""
    tiles: tuple[TileRef, ...]
    """The entries since the checkpoint before."""

    def frontier(self) -> Frontier:
        """Raises ValueError for peaks that are none."""
        return Frontier(self.size, [unhex(peak) for peak in self.peaks])


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The heads of all logs at one moment; what is signed is `signed_bytes`."""

    format: Literal["gridproof-ledger-checkpoint.v1"] = "gridproof-ledger-checkpoint.v1"
    number: int
    """From 1, without a gap."""
    at: datetime
    previous: str
    """SHA-256 of the signed bytes of the checkpoint before."""
    heads: tuple[LogHead, ...]

    def signed_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    def digest(self) -> str:
        return sha256(self.signed_bytes()).hexdigest()

    def head_of(self, log: str) -> LogHead:
        """An empty one for a log that it does not name."""
        return next((head for head in self.heads if head.log == log), empty_head(log))


def empty_head(log: str) -> LogHead:
    return LogHead(log=log, size=0, root=Frontier().root().hex(), last_position=0, peaks=(), tiles=())


class Difference(msgspec.Struct, frozen=True):
    """Where what is found differs from what was sealed."""

    kind: DifferenceKind
    position: int


def positions_of(entries: bytes) -> npt.NDArray[np.int64]:
    return _rows(entries)[:, :8].copy().view(">i8").ravel().astype(np.int64)


def hashes_of(entries: bytes) -> bytes:
    """The packed leaf hashes of packed entries."""
    return _rows(entries)[:, 8:].tobytes()


def last_position_of(entries: bytes) -> int:
    """0 of none."""
    return int(struct.unpack(">q", entries[-ENTRY_BYTES : 8 - ENTRY_BYTES])[0]) if entries else 0


def _rows(entries: bytes) -> npt.NDArray[np.uint8]:
    """Raises ValueError unless these are whole entries."""
    return np.frombuffer(entries, dtype=np.uint8).reshape(-1, ENTRY_BYTES)


def differences(sealed: bytes, found: bytes) -> Iterator[Difference]:
    """Every position at which two packed lists of entries differ, rising."""
    if sealed == found:
        return
    sealed_at, found_at = positions_of(sealed).tolist(), positions_of(found).tolist()
    left = right = 0
    while left < len(sealed_at) or right < len(found_at):
        if right == len(found_at) or (left < len(sealed_at) and sealed_at[left] < found_at[right]):
            yield Difference("removed", sealed_at[left])
            left += 1
        elif left == len(sealed_at) or found_at[right] < sealed_at[left]:
            yield Difference("inserted", found_at[right])
            right += 1
        else:
            if _entry(sealed, left) != _entry(found, right):
                yield Difference("changed", sealed_at[left])
            left, right = left + 1, right + 1


def _entry(entries: bytes, number: int) -> bytes:
    return entries[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES]

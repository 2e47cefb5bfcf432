"""The stored event logs, and the ledger's own tables beside them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self
from uuid import UUID

import msgspec

from domain.ledger.entries import LogRow
from domain.ledger.map_pages import MapChange, MapState
from domain.ledger.stream_map import StreamVersion


class LedgerUnavailable(Exception):
    """The database cannot be reached, or did not answer in time."""


class LedgerMoved(Exception):
    """Another process appended to the ledger. Nothing was appended. Read its size again."""


class LedgerHead(msgspec.Struct, frozen=True):
    """How far the ledger's table covers one log."""

    size: int
    position: int


class LedgerStore(Protocol):
    """Everything of the ledger that a database administrator could change (synchronous).

    `log` is one of `domain.ledger.entries.LOGS`; entries are packed as there. All methods raise
    LedgerUnavailable.
    """

    def entries_of_log(
        self,
        log: str,
        *,
        after: int,
        up_to: int,
        limit: int | None = None,
        recorded: bytearray | None = None,
    ) -> bytes:
        """Entries computed again from the rows of the log, `after` < position <= `up_to`, in order.

        Appends to `recorded` for each entry the RECORDED_BYTES characters that begin with its first RECORDED_MARK;
        spaces where it has none.
        """
        ...

    def row(self, log: str, position: int) -> LogRow | None: ...

    def rows(self, log: str, positions: Sequence[int]) -> list[LogRow]:
        """The existing rows among these positions, in order."""
        ...

    def head(self, log: str) -> int:
        """The newest position in the log; 0 for an empty one."""
        ...

    def count_after(self, log: str, position: int) -> int:
        """The number of rows of the log after that position."""
        ...

    def appended(self, log: str) -> LedgerHead: ...

    def append(self, log: str, size: int, entries: bytes) -> LedgerHead:
        """Append entries to the table that has `size` entries, with the position, in one transaction. Raises
        LedgerMoved."""
        ...

    def entries(self, log: str, first: int, count: int) -> bytes:
        """Entries from the ledger's table; fewer where it has fewer."""
        ...

    def tiles_at(self, log: str, positions: Sequence[int]) -> list[int]:
        """For each position, the number of the tile of the table that has its entry, if there is one."""
        ...

    def tiles(self, log: str, numbers: Collection[int]) -> dict[int, bytes]:
        """Tiles of the table: TILE_ENTRIES entries each, the last one fewer."""
        ...

    def node_counts(self, log: str) -> list[int]:
        """The number of stored tree hashes before the first gap of each level of tiles, from level 1 to the highest
        one that has any."""
        ...

    def nodes(self, log: str, level: int, numbers: Collection[int]) -> dict[int, bytes]:
        """Tiles of tree hashes. Hash number n of level l is the root over the leaves n * TILE_ENTRIES^l and on."""
        ...

    def store_nodes(self, log: str, level: int, tiles: Mapping[int, bytes]) -> None:
        """Store or replace tiles of tree hashes."""
        ...

    def last_versions(self, log: str, *, after: int, up_to: int) -> Iterator[StreamVersion]:
        """The streams that have domain events at `after` < position <= `up_to`, rising by id, each with the
        highest version among those (at least 1)."""
        ...

    def rows_of_streams(self, log: str, stream_ids: Collection[UUID], *, up_to: int) -> list[LogRow]:
        """All rows of those streams up to a position, in order."""
        ...

    def map_state(self, log: str) -> MapState:
        """How far the stored map of streams covers the log."""
        ...

    def map_pages(self, log: str, names: Collection[str]) -> dict[str, bytes]:
        """The existing pages of the map among these."""
        ...

    def change_map(self, log: str, change: MapChange) -> None:
        """Store a change of the map, in one transaction. Raises LedgerMoved unless the map is at `change.before`."""
        ...

    def keep_checkpoint(self, number: int, signed: bytes, log: str, change: MapChange) -> None:
        """Store a copy of the archive's checkpoint, in one transaction with a change of the map of `log`. An existing
        copy is not changed. Raises LedgerMoved as `change_map` does."""
        ...

    def snapshot(self) -> AbstractContextManager[Self]:
        """This store as it is now, whatever is written meanwhile. For reading only."""
        ...

    def checkpoint(self, number: int) -> bytes | None: ...

    def restore_checkpoints(self) -> list[bytes]:
        """The stored checkpoints after a restore of the database (CheckpointAfterRestore), in order. Reads all."""
        ...

    def skip_positions(self, log: str, position: int) -> None:
        """The log gets no more positions up to that one. Only the owner of the database may call it; no other process
        works with the database."""
        ...

    def last_checkpoint_number(self) -> int:
        """0 if there is none."""
        ...

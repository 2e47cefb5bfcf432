"""The logs and the ledger's tables in memory; a test may change everything in them, as a superuser may."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from application.ports.ledger.store import LedgerHead, LedgerMoved
from domain.ledger.entries import (
    ENTRY_BYTES,
    LOGS,
    RECORDED_BYTES,
    RECORDED_MARK,
    TILE_ENTRIES,
    LogRow,
    last_position_of,
    positions_of,
)
from domain.ledger.map_pages import MapChange, MapState
from domain.ledger.merkle import HASH_BYTES
from domain.ledger.stream_map import StreamVersion


@dataclass
class FakeLedgerStore:
    logs: dict[str, dict[int, LogRow]] = field(default_factory=lambda: {log: {} for log in LOGS})
    table: dict[str, bytes] = field(default_factory=lambda: dict.fromkeys(LOGS, b""))
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    tree: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    """Tiles of tree hashes by log, level and number."""
    maps: dict[str, MapState] = field(default_factory=lambda: {log: MapState() for log in LOGS})
    pages: dict[tuple[str, str], bytes] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOGS, 0))
    """The last position of each log that is left out."""

    def record(self, log: str, *rows: LogRow) -> None:
        self.logs[log] |= {row.position: row for row in rows}

    def entries_of_log(
        self,
        log: str,
        *,
        after: int,
        up_to: int,
        limit: int | None = None,
        recorded: bytearray | None = None,
    ) -> bytes:
        wanted = [row for row in self._in_order(log) if after < row.position <= up_to][:limit]
        if recorded is not None:
            recorded.extend(b"".join(_recorded_part(row.state) for row in wanted))
        return b"".join(row.entry() for row in wanted)

    def row(self, log: str, position: int) -> LogRow | None:
        return self.logs[log].get(position)

    def rows(self, log: str, positions: Sequence[int]) -> list[LogRow]:
        return [row for row in self._in_order(log) if row.position in positions]

    def head(self, log: str) -> int:
        return max(self.logs[log], default=0)

    def count_after(self, log: str, position: int) -> int:
        return sum(1 for found in self.logs[log] if found > position)

    def appended(self, log: str) -> LedgerHead:
        return LedgerHead(len(self.table[log]) // ENTRY_BYTES, last_position_of(self.table[log]))

    def append(self, log: str, size: int, entries: bytes) -> LedgerHead:
        if self.appended(log).size != size:
            raise LedgerMoved(f"the ledger of {log} no longer has {size} entries")
        self.table[log] += entries
        return self.appended(log)

    def entries(self, log: str, first: int, count: int) -> bytes:
        return self.table[log][first * ENTRY_BYTES : (first + count) * ENTRY_BYTES]

    def tiles_at(self, log: str, positions: Sequence[int]) -> list[int]:
        firsts = positions_of(self.table[log]).tolist()[::TILE_ENTRIES]
        return [max(bisect_right(firsts, position) - 1, 0) for position in positions]

    def tiles(self, log: str, numbers: Collection[int]) -> dict[int, bytes]:
        found = {number: self.entries(log, number * TILE_ENTRIES, TILE_ENTRIES) for number in numbers}
        return {number: entries for number, entries in found.items() if entries}

    def node_counts(self, log: str) -> list[int]:
        levels = max((level for of, level, _ in self.tree if of == log), default=0)
        return [self._gapless(log, level) for level in range(1, levels + 1)]

    def _gapless(self, log: str, level: int) -> int:
        count = 0
        while hashes := self.tree.get((log, level, count // TILE_ENTRIES)):
            count += len(hashes) // HASH_BYTES
            if count % TILE_ENTRIES:
                break
        return count

    def nodes(self, log: str, level: int, numbers: Collection[int]) -> dict[int, bytes]:
        return {
            number: self.tree[log, level, number] for number in numbers if (log, level, number) in self.tree
        }

    def store_nodes(self, log: str, level: int, tiles: Mapping[int, bytes]) -> None:
        self.tree |= {(log, level, number): hashes for number, hashes in tiles.items()}

    def last_versions(self, log: str, *, after: int, up_to: int) -> Iterator[StreamVersion]:
        rows = (row for row in self._in_order(log) if after < row.position <= up_to)
        versions: dict[bytes, int] = {}
        for row in rows:
            stream_id = row.originator_id.bytes
            versions[stream_id] = max(versions.get(stream_id, 0), row.originator_version)
        return iter(sorted(one for one in versions.items() if one[1] > 0))

    def rows_of_streams(self, log: str, stream_ids: Collection[UUID], *, up_to: int) -> list[LogRow]:
        wanted = set(stream_ids)
        return [row for row in self._in_order(log) if row.position <= up_to and row.originator_id in wanted]

    def map_state(self, log: str) -> MapState:
        return self.maps[log]

    def map_pages(self, log: str, names: Collection[str]) -> dict[str, bytes]:
        return {name: self.pages[log, name] for name in names if (log, name) in self.pages}

    def change_map(self, log: str, change: MapChange) -> None:
        if self.maps[log] != change.before:
            raise LedgerMoved(f"the map of {log} is no longer at {change.before.size}")
        self.maps[log] = change.after
        self.pages |= {(log, name): page for name, page in change.pages.items()}

    def keep_checkpoint(self, number: int, signed: bytes, log: str, change: MapChange) -> None:
        self.change_map(log, change)
        self.checkpoints.setdefault(number, signed)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        yield self

    def checkpoint(self, number: int) -> bytes | None:
        return self.checkpoints.get(number)

    def restore_checkpoints(self) -> list[bytes]:
        return [signed for _, signed in sorted(self.checkpoints.items()) if b"ledger-checkpoint.v3" in signed]

    def skip_positions(self, log: str, position: int) -> None:
        self.skipped[log] = max(self.skipped[log], self.head(log), position)

    def last_checkpoint_number(self) -> int:
        return max(self.checkpoints, default=0)

    def _in_order(self, log: str) -> list[LogRow]:
        return [self.logs[log][position] for position in sorted(self.logs[log])]


def _recorded_part(state: bytes) -> bytes:
    at = state.find(RECORDED_MARK)
    return (b"" if at < 0 else state[at : at + RECORDED_BYTES]).ljust(RECORDED_BYTES)

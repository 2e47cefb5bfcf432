"""The logs and the ledger's tables in memory; a test may change everything in them, as a superuser may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from application.ports.ledger.store import LedgerHead, LedgerMoved
from domain.ledger.entries import ENTRY_BYTES, LOGS, LogRow, last_position_of


@dataclass
class FakeLedgerStore:
    logs: dict[str, dict[int, LogRow]] = field(default_factory=lambda: {log: {} for log in LOGS})
    table: dict[str, bytes] = field(default_factory=lambda: dict.fromkeys(LOGS, b""))
    checkpoints: dict[int, bytes] = field(default_factory=dict)

    def record(self, log: str, *rows: LogRow) -> None:
        self.logs[log] |= {row.position: row for row in rows}

    def entries_of_log(self, log: str, *, after: int, up_to: int, limit: int | None = None) -> bytes:
        wanted = [row for row in self._in_order(log) if after < row.position <= up_to]
        return b"".join(row.entry() for row in wanted[:limit])

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

    def keep_checkpoint(self, number: int, signed: bytes) -> None:
        self.checkpoints.setdefault(number, signed)

    def checkpoint(self, number: int) -> bytes | None:
        return self.checkpoints.get(number)

    def last_checkpoint_number(self) -> int:
        return max(self.checkpoints, default=0)

    def _in_order(self, log: str) -> list[LogRow]:
        return [self.logs[log][position] for position in sorted(self.logs[log])]

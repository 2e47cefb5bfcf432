"""The stored event logs, and the ledger's own tables beside them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from domain.ledger.entries import LogRow


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

    def entries_of_log(self, log: str, *, after: int, up_to: int, limit: int | None = None) -> bytes:
        """Entries computed again from the rows of the log, `after` < position <= `up_to`, in order."""
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

    def keep_checkpoint(self, number: int, signed: bytes) -> None:
        """Store a copy of the archive's checkpoint. An existing copy is not changed."""
        ...

    def checkpoint(self, number: int) -> bytes | None: ...

    def last_checkpoint_number(self) -> int:
        """0 if there is none."""
        ...

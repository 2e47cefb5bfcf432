"""The log file of a child process: appended to, bounded, its end quotable."""

from __future__ import annotations

import shutil
from pathlib import Path

_TAIL_BYTES = 8_192
LARGEST_BYTES = 10_000_000


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, lines: int = 12, since: int = 0) -> str:
    """The last lines, at most 8 KiB, of what was written after the first `since` bytes."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(since, end - _TAIL_BYTES, 0))
        text = log.read(_TAIL_BYTES).decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def bound(path: Path, *, largest_bytes: int = LARGEST_BYTES) -> bool:
    """Move a log that grew too large to `<name>.1`, in place of the one before; whether it did.

    The file is copied and emptied, not renamed: its writer appends and goes on at its start.
    """
    if size_bytes(path) <= largest_bytes:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    with path.open("r+b") as log:
        log.truncate(0)
    return True

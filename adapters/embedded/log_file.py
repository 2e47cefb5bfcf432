"""The log file of a child process: its size is limited, its last lines can be quoted."""

from __future__ import annotations

import shutil
from pathlib import Path

_TAIL_BYTES = 8_192
MAX_LOG_BYTES = 10_000_000


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


def bound(path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Move a log above the limit to `<name>.1`, replacing the earlier one; returns whether it did.

    The file is copied and truncated, not renamed, because its writer appends to the open file.
    """
    if size_bytes(path) <= max_bytes:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    with path.open("r+b") as log:
        log.truncate(0)
    return True

"""The log file of a child process: its last lines can be quoted. Whoever runs the servers rotates it."""

from __future__ import annotations

from pathlib import Path

_TAIL_BYTES = 8_192


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, lines: int = 12, since: int = 0) -> str:
    """The last lines, at most 8 KiB, of what was written after the first `since` bytes, or since it was emptied."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(since if since <= end else 0, end - _TAIL_BYTES, 0))
        text = log.read(_TAIL_BYTES).decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])

"""Runs the programs of PostgreSQL that take, verify and combine backups."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adapters.embedded import child_process, log_file
from adapters.embedded.backup.errors import ProgramFailed

Progress = Callable[[str, int], None]
"""Called with what is done, and per cent of it."""
_POLL_S = 0.1
_PER_CENT = re.compile(r"\((\d{1,3})%\)")


def no_progress(what: str, per_cent: int) -> None:
    return


def run_program(
    words: Sequence[str],
    *,
    log: Path,
    what: str,
    advice: str,
    env: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> None:
    """Run to the end. Raises ProgramFailed with the last lines that it wrote."""
    log.parent.mkdir(mode=0o700, exist_ok=True)
    since = log_file.size_bytes(log)
    shown = -1
    with log.open("ab") as output:
        child = child_process.spawn(words, output=output, env=env)
    try:
        while (returncode := child.poll()) is None:
            per_cent = _per_cent_of(log, since)
            if per_cent > shown:
                progress(what, per_cent)
                shown = per_cent
            time.sleep(_POLL_S)
    except BaseException:
        child.kill()
        raise
    if returncode != 0:
        tail = log_file.tail(log, since=since)
        raise ProgramFailed(f"{what} failed with status {returncode}", advice=advice, log_tail=tail)
    progress(what, 100)


def _per_cent_of(log: Path, since: int) -> int:
    with log.open("rb") as file:
        file.seek(max(since, log_file.size_bytes(log) - 4_000))
        found = _PER_CENT.findall(file.read().decode("utf-8", "replace"))
    return int(found[-1]) if found else 0

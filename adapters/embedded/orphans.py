"""Finds server processes that outlived a killed launcher, in /proc instead of by stored pids.

A stored pid may by now belong to another process. A server of ours is identified by its working directory and the name
of its program, which only a live process has.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from adapters.embedded.errors import EmbeddedServerError

_TERMINATE_WITHIN_S = 10.0


def _pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def is_alive(pid: int) -> bool:
    """True if the process runs; a zombie, which `kill -0` counts as alive, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def running_in(folder: Path, program: str) -> list[int]:
    """The live processes of that program whose working directory is `folder`."""
    result = []
    for pid in _pids():
        try:
            where = Path(f"/proc/{pid}/cwd").readlink()
            what = Path(f"/proc/{pid}/exe").readlink()
        except OSError:  # it ended meanwhile, or belongs to another user: not ours
            continue
        if where == folder and what.name.removesuffix(" (deleted)") == program and is_alive(pid):
            result.append(pid)
    return result


def may_run_in(pid: int, folder: Path, program: str) -> bool:
    """True if that process could be `program` in `folder`: false only where it certainly is not."""
    if not is_alive(pid):
        return False
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program and folder.samefile(
            f"/proc/{pid}/cwd"
        )
    except PermissionError:
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False


def end_all(folder: Path, program: str, stop_signal: signal.Signals) -> list[int]:
    """End the processes that still run in `folder`; only for the holder of the folder's lock. Returns their pids."""
    ended: set[int] = set()
    deadline = time.monotonic() + _TERMINATE_WITHIN_S
    sign: signal.Signals = stop_signal
    while left := running_in(folder, program):
        for pid in left:
            _signal(pid, sign)
        ended.update(left)
        time.sleep(0.05)
        if time.monotonic() > deadline:
            sign = signal.SIGKILL
        if time.monotonic() > deadline + _TERMINATE_WITHIN_S:
            raise EmbeddedServerError(
                program, f"processes {left} of an earlier start survive SIGKILL", advice="End them by hand."
            )
    return sorted(ended)


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return

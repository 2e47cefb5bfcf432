"""What processes used: processor time and memory, from /proc."""

import os
from collections.abc import Collection
from pathlib import Path


def cpu_s(pid: int, *, without: Collection[int] = ()) -> float:
    """User and system time of a process and its children, including ended ones, with exceptions."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended and is included in its parent's sum
        one, parent = int(stat.parent.name), int(fields[1])
        if one == pid:
            total += sum(map(int, fields[11:15]))
        elif parent == pid and one not in without:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def held_mb(pid: int) -> float:
    """Memory of a process and its children, MiB: PostgreSQL has one process per session. Proportional, so that shared
    pages are divided among their users. 0 for a process that has just ended."""
    return sum(map(_held_mb, (pid, *_children(pid))))


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _held_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)

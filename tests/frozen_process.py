"""Stops processes to simulate a stuck machine: they close no connection and answer nothing."""

import os
import signal
import time
from pathlib import Path

WITHIN_S = 30.0


def freeze(pid: int) -> None:
    """Stop a process until SIGCONT, and wait for its threads, which on a busy machine run on after the signal."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + WITHIN_S
    while _is_running(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} goes on {WITHIN_S:g} s after SIGSTOP")
        time.sleep(0.001)


def _is_running(pid: int) -> bool:
    """Whether a thread of the process may still run."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = task.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if state not in "TtZX":
            return True
    return False

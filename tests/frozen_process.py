"""Processes made to hang, as those of a machine that is stuck: they close nothing, and answer nothing."""

import os
import signal
import time
from pathlib import Path

WITHIN_S = 30.0


def freeze(pid: int) -> None:
    """Until SIGCONT. On a busy machine its threads go on for a while after the signal: they are waited for."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + WITHIN_S
    while _is_running(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} goes on {WITHIN_S:g} s after SIGSTOP")
        time.sleep(0.001)


def _is_running(pid: int) -> bool:
    """Whether a thread of it may still do something."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = task.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if state not in "TtZX":
            return True
    return False

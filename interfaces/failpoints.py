"""Failpoints: named places in the code where a test can make a process kill itself.

A failpoint strikes once: it writes `once_file` before it kills, and does nothing while that file exists. The file
names the work in flight, so a test can check that the process was killed in the middle of it.
"""

import os
import signal
from pathlib import Path

from application.ports.failpoints import Failpoint, no_failpoint


def failpoint(name: str | None, once_file: Path | None) -> Failpoint:
    """A failpoint that strikes once, at `name`; `no_failpoint` if no name is set.

    `dispatch.after_call` strikes at the first call, `dispatch.after_call_commit` at the first call of a commit.
    """
    if name is None:
        return no_failpoint

    def reached(place: str, in_flight: str) -> None:
        if name not in {place, f"{place}_{in_flight.partition(' ')[0]}"}:
            return
        if once_file is not None:
            try:
                descriptor = os.open(once_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                return
            os.write(descriptor, f"{place} {in_flight}\n".encode())
            os.fsync(descriptor)
            os.close(descriptor)
        os.kill(os.getpid(), signal.SIGKILL)

    return reached

"""Failpoints: named places where a process can be made to kill itself, for tests.

A failpoint strikes once: it leaves a file before it kills, and does nothing while that file is there. What
stands in the file says what was in flight, so that a test can prove that it struck in mid-work.
"""

import os
import signal
from pathlib import Path

from application.ports.failpoints import Failpoint, no_failpoint


def failpoint(name: str | None, once_file: Path | None) -> Failpoint:
    """A failpoint that strikes at `name`, once; `no_failpoint` where no name is set.

    `dispatch.after_call` strikes at the first call, `dispatch.after_call_commit` at the first of a commit.
    """
    if name is None:
        return no_failpoint

    def reached(here: str, in_flight: str) -> None:
        if name not in {here, f"{here}_{in_flight.partition(' ')[0]}"}:
            return
        if once_file is not None:
            try:
                descriptor = os.open(once_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                return
            os.write(descriptor, f"{here} {in_flight}\n".encode())
            os.fsync(descriptor)
            os.close(descriptor)
        os.kill(os.getpid(), signal.SIGKILL)

    return reached

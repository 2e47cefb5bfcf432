"""A process that outlives the command that starts it, as under a service manager:

    python -m tests.integration.prometheus.local_process FOLDER NAME PROGRAM ARGUMENT...

ends the process NAME that runs, by SIGTERM, and starts PROGRAM in its place. FOLDER/NAME.json says which one runs, with
its environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ENDED_WITHIN_S = 120.0


@dataclass(frozen=True)
class LocalProcess:
    pid: int
    """0: none runs."""
    program: list[str]
    environ: dict[str, str]

    def stop(self) -> None:
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + ENDED_WITHIN_S
        while _runs(self.pid):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)


def read(folder: Path, name: str) -> LocalProcess:
    return LocalProcess(**json.loads((folder / f"{name}.json").read_text()))


def write(folder: Path, name: str, process: LocalProcess) -> None:
    (folder / f"{name}.json").write_text(json.dumps(asdict(process)))


def replace(folder: Path, name: str, program: list[str]) -> None:
    before = read(folder, name)
    before.stop()
    with (folder / f"{name}.log").open("ab") as output:
        child = subprocess.Popen(
            program,
            env=os.environ | before.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    write(folder, name, LocalProcess(child.pid, program, before.environ))


def _runs(pid: int) -> bool:
    """A zombie does not: whoever started it has not waited for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    replace(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])

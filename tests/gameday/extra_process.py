"""Another process of a worker beside the demo's own, with other settings or a planted defect."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.demo_runs import ROOT, children_of
from tests.gameday.drill import Drill

GRIDPROOF = ("interfaces.cli",)
OTHER_MACHINE = "game-day-machine"
ON_OTHER_MACHINE = ("tests.planted_worker", "--machine", OTHER_MACHINE)
"""Any process of a machine ends what was raised about it, as soon as it starts."""
END_WITHIN_S = 60.0
_REPORTS = "SELECT 1 FROM gridproof.process_heartbeats WHERE worker = %s AND pid = %s"


@contextmanager
def beside(
    drill: Drill,
    worker: str,
    settings: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = GRIDPROOF,
) -> Iterator[None]:
    """A further process of `worker` runs during the block: it works, or stands by where only one may act.

    It has the settings of the demo's own process but for `settings`, by their names without GRIDPROOF_. `environ`:
    variables that are no settings.
    """
    log = drill.demo.folder / "logs" / f"{drill.case.name}-{worker}.log"
    variables = _environ_of(drill, worker) | dict(environ or {})
    variables |= {f"GRIDPROOF_{name}": value for name, value in (settings or {}).items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *program, "worker", worker],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=output,
        )
    try:

        def reports() -> bool:
            assert process.poll() is None, (
                f"{worker} ended with {process.returncode}: {log.read_text()[-2_000:]}"
            )
            return bool(drill.as_owner(_REPORTS, worker, process.pid))

        drill.until(reports, f"another {worker} process reports")
        yield
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM, so that it says that it ends; by SIGKILL if that takes too long."""
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def in_place_of(
    drill: Drill,
    worker: str,
    settings: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = GRIDPROOF,
) -> Iterator[None]:
    """The same where only one may act: the demo's own process is killed once, and stands by when it is back.

    One case of a round at most does so with a worker, since a second process would stand by as well.
    """
    with beside(drill, worker, settings, environ=environ, program=program):
        drill.demo.kill(worker)
        yield


def _environ_of(drill: Drill, worker: str) -> dict[str, str]:
    """The environment of the demo's own process of that worker: its addresses, its credentials, the system's clock."""

    def running() -> list[int]:
        return children_of(drill.demo.process, worker)

    [process, *_] = drill.until(running, f"the demo's {worker} process runs")
    variables = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if "=" in variable)

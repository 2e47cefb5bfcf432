"""Runs `gridproof ...` in processes forked from one that has already imported the modules.

A new interpreter needs seconds of processor time for a worker's imports, and some tests start eight processes.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.patience import END_S

_PROCESS = Path(__file__).with_name("forked_command_main.py")
"""By path: another package on this machine may be called `tests`, too."""
_READ_BEFORE = [
    "adapters.redis.shared_cache",
    "adapters.mqtt",
    "adapters.nats.queue_depths",
    "adapters.nats.telemetry_stream",
    "adapters.postgres.read_model.projector",
    "adapters.postgres.read_model.read_models",
    "adapters.redis.rate_limit",
    "interfaces.bootstrap.kinds.dispatch",
    "interfaces.bootstrap.processes",
    "interfaces.cli.serve",
    "interfaces.cli.worker",
    "interfaces.web.app",
    "interfaces.workers.web.server",
    "projections.registry",
]


class ForkedCommand:
    """One process, with `environ` added to the test's environment; its output goes to `log`."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._arguments, self._environ, self._log = list(arguments), dict(environ), log
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_READ_BEFORE)
        self._process: multiprocessing.context.ForkServerProcess | None = None

    def start(self) -> None:
        told = {"ARGUMENTS": self._arguments, "ENVIRON": self._environ, "LOG": self._log, "TEST": os.getpid()}
        # No daemon: the command may have children. Whoever starts it kills it.
        self._process = self._context.Process(target=runpy.run_path, args=(str(_PROCESS), told, "__main__"))
        self._process.start()

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.join(END_S)

    @property
    def has_ended(self) -> bool:
        return self._process is None or not self._process.is_alive()

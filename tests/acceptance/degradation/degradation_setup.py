"""A small system with callers who keep asking it: how each test_degradation*.py beside this begins, what it checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.postgres.connection.pool import FastReconnectPool
from tests import servers
from tests.acceptance.cli.terminal import Terminal
from tests.acceptance.degradation.callers import Callers
from tests.acceptance.degradation.degradation_table import COLUMNS
from tests.acceptance.degradation.outage import OBSERVED_S, Outage, outage
from tests.acceptance.degradation.outages import (
    SPEED,
    Dependency,
    System,
    answers,
    callers_of,
    environ_of,
    fast_clock,
    portfolio,
    serving,
    working,
)
from tests.acceptance.forked_commands import ForkedCommand
from tests.servers import Database

each_cell = pytest.mark.parametrize("column", COLUMNS)


@dataclass
class SystemUnderLoad:
    system: System
    callers: Callers

    def without(self, row: str, *, observed_s: float = OBSERVED_S) -> Outage:
        return outage(self.system, self.callers, row, observed_s=observed_s)


class SystemBuilder:
    """A system that is being put together in `folder`; it ends with `stack`.

    Its NATS and its cache are its own: every such system has a fast clock of its own and facilities of the same names,
    so in a cache of theirs another one would find values of its future.
    """

    def __init__(
        self, stack: ExitStack, database: Database, folder: Path, *, speed: float = SPEED, **settings: str
    ) -> None:
        self.stack, self.database, self.folder = stack, database, folder
        self.nats = stack.enter_context(servers.nats_server())
        self.cache = stack.enter_context(servers.valkey_server())
        self.clock = fast_clock(speed)
        terminal = Terminal(database, folder)
        assert terminal.run("facilities", "import", terminal.file(portfolio())).exit_code == 0
        self.environ = environ_of(
            terminal,
            self.clock,
            GRIDPROOF_NATS_URL=self.nats.nats_url,
            GRIDPROOF_REDIS_URL=self.cache.redis_url,
            **settings,
        )
        self.urls: list[str] = []
        self.processes: list[ForkedCommand] = []

    def door(self, name: str = "door") -> ForkedCommand:
        url, process = serving(self.stack, self.environ, self.folder, name)
        self.urls.append(url)
        self.processes.append(process)
        return process

    def worker(self, name: str) -> ForkedCommand:
        process = working(self.stack, self.environ, self.folder, name)
        self.processes.append(process)
        return process

    def pool(self) -> FastReconnectPool:
        """For what writes telemetry in the place of workers: it gives up soon, and tries again."""
        pool = FastReconnectPool(self.database.app_dsn, min_size=1, max_size=2, timeout=1)
        self.stack.enter_context(pool)
        return pool

    @contextmanager
    def under_load(self, dependencies: Mapping[str, Dependency]) -> Iterator[SystemUnderLoad]:
        """While callers ask. `dependencies` by the names of the rows."""
        system = System(self.database, self.urls, self.processes, dependencies, self.clock)
        system.until(lambda: all(answers(f"{url}/health") for url in system.urls), "the doors answer")
        callers = callers_of(system)
        with callers.sending():
            yield SystemUnderLoad(system, callers)

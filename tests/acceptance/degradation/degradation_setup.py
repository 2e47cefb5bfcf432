"""Setup of the degradation tests: a small system under load by callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.postgres.connection.pool import PostgresPool
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
    """Builds a system in `folder`; it is closed with `stack`.

    It has its own NATS and cache: all these systems have their own fast clock and the same facility names, so a shared
    cache would contain values from the future of another system.
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

    def pool(self) -> PostgresPool:
        """A pool for test code that writes telemetry instead of workers: short time-outs, with retries."""
        pool = PostgresPool(self.database.app_dsn, min_size=1, max_size=2, timeout=1)
        self.stack.enter_context(pool)
        return pool

    @contextmanager
    def under_load(self, dependencies: Mapping[str, Dependency]) -> Iterator[SystemUnderLoad]:
        """Run the callers during the block. `dependencies` by the names of the rows."""
        system = System(self.database, self.urls, self.processes, dependencies, self.clock)
        system.until(lambda: all(answers(f"{url}/health") for url in system.urls), "the doors answer")
        callers = callers_of(system)
        with callers.sending():
            yield SystemUnderLoad(system, callers)

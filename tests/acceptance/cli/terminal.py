"""Runs the command line on the test's own database."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.read_model.projector import Projector
from application.ports.operations.dead_letters import DeadLetter
from interfaces.cli import main
from projections.registry import PROJECTIONS
from tests.servers import Database

WITHIN_S = 60.0
PORTFOLIO: dict[str, Any] = {
    "utilities": [{"utility_id": "city-power", "name": "City Power"}],
    "programs": [{"program_id": "summer-peak", "utility_id": "city-power"}],
    "facilities": [
        {
            "facility_id": f"fac-{number:03}",
            "tz": "America/Los_Angeles",
            "meters": [{"meter_id": "main"}],
            "zones": [{"zone_id": "zone-1", "curtailable_kw": 40.0}],
            "bms": {"address": f"https://bms.example/{number}"},
            "programs": ["summer-peak"],
        }
        for number in (1, 2, 3)
    ],
}


@dataclass(frozen=True)
class Terminal:
    database: Database
    folder: Path
    nats_url: str | None = None

    @property
    def environ(self) -> dict[str, str]:
        named = {
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": self.database.owner_dsn,
            "GRIDPROOF_DATA_DIR": str(self.folder / "data"),
        }
        return named | ({"GRIDPROOF_NATS_URL": self.nats_url} if self.nats_url else {})

    def run(self, *arguments: object, environ: dict[str, str] | None = None) -> Result:
        """Run a command; an unhandled exception fails the test."""
        runner = CliRunner(env={**self.environ, **(environ or {})})
        return runner.invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    def document(self, *arguments: object, exit_code: int = 0, environ: dict[str, str] | None = None) -> Any:
        """The one JSON document of a command with --json."""
        result = self.run(*arguments, "--json", environ=environ)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    @contextmanager
    def worker(self, name: str, **settings: str) -> Iterator[None]:
        """Run a worker during the block; it is killed at the end."""
        argv = [sys.executable, "-m", "interfaces.cli", "worker", name]
        process = subprocess.Popen(argv, env=self.environ | settings)
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()

    def file(self, content: Any, *, name: str = "portfolio.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def import_portfolio(self) -> None:
        assert self.run("facilities", "import", self.file(PORTFOLIO)).exit_code == 0

    def park(self, *letters: DeadLetter) -> None:
        with ConnectionPool[Any](self.database.app_dsn, min_size=1, max_size=1) as pool:
            for letter in letters:
                PostgresDeadLetters(pool).park(letter)

    def project(self) -> None:
        """Bring every read model up to the log's end."""
        app_dsn = self.database.app_dsn
        with ConnectionPool[Any](app_dsn, min_size=1, max_size=1) as pool:
            for projection in PROJECTIONS:
                Projector(
                    projection, dsn=app_dsn, alerts=PostgresAlerts(pool), clock=SystemClock()
                ).catch_up()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.05)


def changed(document: dict[str, Any], path: Sequence[str | int], value: Any) -> dict[str, Any]:
    """A copy of `document` with another value at `path`."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy

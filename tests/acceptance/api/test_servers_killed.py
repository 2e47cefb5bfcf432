"""`gridproof serve` while its servers are killed in turn: only without PostgreSQL are DR events refused."""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded import EmbeddedServers
from adapters.embedded.loopback import free_port
from adapters.postgres.access.api_keys import PostgresApiKeys
from application.access.api_keys import issue
from tests import servers
from tests.acceptance.api.running_api import WEBHOOK, day
from tests.acceptance.cli.terminal import Terminal
from tests.patience import ANSWER_S, END_S
from tests.servers import Database, PostgresServer

WITHIN_S = 60.0


@pytest.fixture
def behind() -> Iterator[EmbeddedServers]:
    """A NATS and a Valkey of this test, to be killed."""
    with servers.nats_server() as nats, servers.valkey_server() as valkey:
        nats._running |= valkey._running
        yield nats


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with servers.postgres_server() as running:
        yield running


@pytest.fixture
def own_database(postgres: PostgresServer) -> Iterator[Database]:
    with servers.fresh_database(postgres) as database:
        yield database


@contextmanager
def serving(terminal: Terminal, behind: EmbeddedServers, *, metrics_port: int = 0) -> Iterator[str]:
    port = free_port()
    environ = terminal.environ | {
        "GRIDPROOF_NATS_URL": behind.nats_url,
        "GRIDPROOF_REDIS_URL": behind.redis_url,
        "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{port}",
        "GRIDPROOF_HTTP_METRICS_BIND": f"127.0.0.1:{metrics_port}",
    }
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-m", "interfaces.cli", "serve"], env=environ)
    try:
        until(lambda: process.poll() is not None or answers(url + "/health"))
        assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait(END_S)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=ANSWER_S).status_code == 200
    except httpx.HTTPError:
        return False


def readiness(url: str) -> tuple[int, str]:
    answer = httpx.get(url + "/ready", timeout=ANSWER_S)
    return answer.status_code, answer.json()["status"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.05)


def test_dr_events_are_refused_only_while_postgresql_is_down(
    own_database: Database, postgres: PostgresServer, behind: EmbeddedServers, tmp_path: Path
) -> None:
    terminal = Terminal(own_database, tmp_path)
    terminal.import_portfolio()
    headers = utility_key(own_database)
    metrics_port = free_port()
    with serving(terminal, behind, metrics_port=metrics_port) as url:

        def post(body: dict[str, Any]) -> httpx.Response:
            return httpx.post(url + WEBHOOK, json=body, headers=headers, timeout=ANSWER_S)

        def metric(name: str) -> float:
            text = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=ANSWER_S).text
            return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])

        def counted_in_the_cache() -> bool:
            """On a busy machine its answer may come too late; a later request asks it again."""
            if metric("gridproof_rate_limit_degraded") == 0:
                return True
            time.sleep(0.5)
            assert post(asking(1)).status_code == 202
            return False

        assert post(asking(1)).status_code == 202
        until(counted_in_the_cache)

        behind.nats.kill()
        assert post(asking(2)).status_code == 202, "an accepted DR event waits in the log"

        behind.valkey.kill()
        assert post(asking(3)).status_code == 202, "each process counts its own requests"
        assert metric("gridproof_rate_limit_degraded") == 1
        # A probe that takes over 2 s on a busy machine says that its server is away.
        until(lambda: readiness(url) == (200, "degraded"))

        postgres.kill()
        down = post(asking(4))
        assert (down.status_code, down.json()["type"]) == (503, "/problems/unavailable")
        assert int(down.headers["retry-after"]) >= 1
        assert answers(url + "/health")

        postgres.start()
        until(lambda: post(asking(4)).status_code == 202)


def asking(number: int) -> dict[str, Any]:
    starts_at = day(number + 2)
    return {
        "notification_id": f"n-{number}",
        "event_id": f"E-{number}",
        "program": "summer-peak",
        "starts_at": starts_at.isoformat(),
        "ends_at": starts_at.replace(hour=starts_at.hour + 2).isoformat(),
        "target_reduction_kw": 40,
        "facility_ids": ["fac-001"],
    }


def utility_key(database: Database) -> dict[str, str]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        issued = issue(
            PostgresApiKeys(pool),
            role="utility",
            utility_id="city-power",
            at=datetime.now(UTC),
            entropy=secrets.token_bytes(38),
        )
    return {"Authorization": f"Bearer {issued.token}"}

"""The API against its own OpenAPI document: schemathesis calls every operation of `gridproof serve`.

It sends valid and invalid requests, over a PostgreSQL with a DR event, readings, an alert and a dead letter.
Accepted deviations are in schemathesis.toml, each with its reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from adapters.embedded.loopback import free_port
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.operations.dead_letters import DeadLetter
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.settings.settings import PREFIX, read_settings
from tests.acceptance.api.running_api import CLOCK, Door, notification, running_door
from tests.bench.webhook.setup import running_server
from tests.open_alerts import begin_alert
from tests.patience import ANSWER_S, RUN_S
from tests.servers import PostgresServer, fresh_database
from tests.unit.interfaces.web.declared_policies import POLICIES

CONFIG = Path(__file__).with_name("schemathesis.toml")
OF_THE_EXAMPLES = "UTIL-1"
"""The utility's id of the DR event whose own id the examples use."""
LETTER = UUID(int=1)


@dataclass(frozen=True)
class Served:
    url: str
    keys: dict[str, str]


@pytest.fixture(scope="module")
def served(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with fresh_database(postgres_server) as database:
        with running_door(database) as door:
            keys = {
                "ADMIN_KEY": _token(door.header("admin")),
                "UTILITY_KEY": _token(door.header("utility", "util-1")),
            }
            _fill(door)
        settings = read_settings(
            {
                f"{PREFIX}DATABASE_URL": database.app_dsn,
                f"{PREFIX}HTTP_BIND": f"127.0.0.1:{free_port()}",
                f"{PREFIX}DATA_DIR": str(tmp_path_factory.mktemp("served")),
                f"{PREFIX}LOG_LEVEL": "error",
                # One key makes all calls, as fast as it can.
                f"{PREFIX}HTTP_RATE_PER_KEY_PER_S": "100000",
                f"{PREFIX}HTTP_CURRENT_PER_KEY_PER_S": "100000",
                f"{PREFIX}HTTP_READS_PER_KEY_PER_S": "1000000",
                f"{PREFIX}QUEUE_DEPTH": "1000000",
                f"{PREFIX}HTTP_FAILED_AUTHENTICATIONS_PER_MIN": "1000000",
            }
        )
        url = f"http://{settings.http_bind}"
        with running_server([sys.executable, "-m", "interfaces.cli", "serve"], f"{url}/health", settings):
            yield Served(url, keys)


def _token(header: dict[str, str]) -> str:
    return header["Authorization"].removeprefix("Bearer ")


def _fill(door: Door) -> None:
    assert door.post(notification(event_id=OF_THE_EXAMPLES)).status_code == 202
    now = CLOCK.now()
    begin_alert(PostgresAlerts(door.pool), "bms_drift", "fac-001", "zone-1 has left its setpoint", at=now)
    PostgresDeadLetters(door.pool).park(
        DeadLetter(
            dead_letter_id=LETTER,
            queue="callback",
            subject="callback 7",
            reason="HTTP 404",
            body=b"{}",
            parked_at=now,
        )
    )
    readings = [
        MeterReading("fac-001", "m", now - timedelta(seconds=15 * number), 12.0, None) for number in range(9)
    ]
    PostgresTelemetryStore(door.pool, CLOCK).write_readings(partition_of("fac-001"), 1, readings[::-1])
    door.project()


def finds_nothing(served: Served, *options: str) -> None:
    """Run schemathesis with every check."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={CONFIG}",
            "run",
            f"{served.url}/schema/openapi.json",
            *options,
        ],
        env=os.environ | served.keys | {"NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def test_every_operation_of_the_application_is_in_the_document(served: Served) -> None:
    document = httpx.get(f"{served.url}/schema/openapi.json", timeout=ANSWER_S).json()
    described = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    undescribed = ("GET /static/", "GET /schema")  # files, and the document itself
    assert described == {
        route for route in POLICIES if route != "GET /" and not route.startswith(undescribed)
    }


def test_each_example_of_the_document_is_accepted_and_answered_as_documented(served: Served) -> None:
    """Without an example, tests/unit/interfaces/web/openapi/test_schema.py uses generated values in one process."""
    finds_nothing(served, "--phases=examples")


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["coverage", "fuzzing", "stateful"])
def test_generated_requests_are_answered_as_documented(served: Served, phase: str) -> None:
    """Phases: boundaries of every parameter and field, generated values, and sequences of calls."""
    finds_nothing(served, f"--phases={phase}", "--max-examples=60")

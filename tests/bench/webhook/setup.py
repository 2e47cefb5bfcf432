"""Setup of the webhook benchmark: a filled database, a cache, `gridproof serve` as a process, the floor's server."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from adapters.embedded.loopback import free_port
from interfaces.settings.settings import PREFIX, Settings, read_settings
from tests.bench.setup import BenchDatabase, open_bench_stores
from tests.patience import ANSWER_S, END_S

if TYPE_CHECKING:
    from application.facility.portfolio_entries import FacilityEntry
    from interfaces.bootstrap.stores import Stores

READY_WITHIN_S = 60.0
FILLING_THREADS = 32
FORECAST_CYCLES = 9
STEPS, STEP_S = 192, 900
LEAD = timedelta(hours=1)


@dataclass(frozen=True)
class WebhookSetup:
    """A running API with its senders and their requests."""

    url: str
    tokens: tuple[str, ...]
    facility_ids: tuple[tuple[str, ...], ...]
    """By utility."""
    first_window_at: datetime
    pid: int

    def cpu_s(self) -> float:
        """CPU time of the server process so far."""
        return cpu_s_of(self.pid)


def cpu_s_of(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def webhook_setup(database: BenchDatabase, *, utilities: int, facilities: int) -> Iterator[WebhookSetup]:
    """Set up `utilities`, each with a program and its own facilities, all with forecasts."""
    from adapters.embedded import EmbeddedServers

    with (
        tempfile.TemporaryDirectory(prefix="gridproof-door-") as folder,
        EmbeddedServers(Path(folder), postgres=False, nats=False) as servers,
    ):
        stores = open_bench_stores(database.app_url)
        try:
            names = tuple(
                tuple(f"fac-{utility}-{number}" for number in range(facilities))
                for utility in range(utilities)
            )
            tokens = _fill(stores, names)
        finally:
            stores.close()
        settings = read_settings(
            {
                f"{PREFIX}DATABASE_URL": database.app_url,
                f"{PREFIX}REDIS_URL": servers.redis_url,
                f"{PREFIX}HTTP_BIND": f"127.0.0.1:{free_port()}",
                f"{PREFIX}DATA_DIR": folder,
                f"{PREFIX}LOG_LEVEL": "warning",
                # On a busy machine the load catches up on posts that are due: more than ten in one second.
                f"{PREFIX}HTTP_RATE_PER_KEY_PER_S": "100",
            }
        )
        argv = [sys.executable, "-m", "interfaces.cli", "serve"]
        with running_server(argv, f"http://{settings.http_bind}/health", settings) as pid:
            url = f"http://{settings.http_bind}/webhooks/utility/dr-notification"
            yield WebhookSetup(url, tokens, names, _first_window(stores), pid)


@contextmanager
def floor_server() -> Iterator[str]:
    """The URL of a route that answers 202 and does nothing else."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with running_server([sys.executable, "-m", "tests.bench.webhook.floor", str(port)], url, None):
        yield url


def _first_window(stores: Stores) -> datetime:
    """The start of the first quarter-hour after the lead time."""
    from domain.forecast import CYCLE, cycle_start_of

    return cycle_start_of(stores.clock.now() + LEAD) + CYCLE


def _fill(stores: Stores, names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
    from application.command_bus.decision_context import CommandContext
    from application.commands.facility import RegisterFacility
    from application.commands.program import AgreeProgram
    from application.facility.portfolio_entries import ProgramEntry

    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )
    commands: list[msgspec.Struct] = [
        AgreeProgram(entry=ProgramEntry(program_id=f"program-{number}", utility_id=f"utility-{number}"))
        for number in range(len(names))
    ]
    commands += [
        RegisterFacility(entry=facility_entry(facility_id, (f"program-{number}",)))
        for number, facility_ids in enumerate(names)
        for facility_id in facility_ids
    ]
    with ThreadPoolExecutor(FILLING_THREADS) as pool:
        list(pool.map(lambda command: stores.bus.handle(command, context), commands))
    _forecast(stores, [name for facility_ids in names for name in facility_ids])
    api_keys = stores.api_keys()
    return tuple(
        issue(
            api_keys,
            role="utility",
            utility_id=f"utility-{number}",
            at=stores.clock.now(),
            entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
        ).token
        for number in range(len(names))
    )


def facility_entry(facility_id: str, programs: tuple[str, ...]) -> FacilityEntry:
    """Three zones of 10 kW and one meter, ready for DR events all day."""
    from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry

    return FacilityEntry(
        facility_id=facility_id,
        meters=(MeterEntry(meter_id="main"),),
        zones=tuple(ZoneEntry(zone_id=f"zone-{number}", curtailable_kw=10.0) for number in range(3)),
        bms=BmsEntry(address="http://127.0.0.1:1/bms"),
        programs=programs,
        dr_events_per_day=1_000,
        dr_events_per_season=10_000,
    )


def _forecast(stores: Stores, facility_ids: Sequence[str]) -> None:
    """Store the forecasts of two hours of cycles."""
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from application.event_store.forecasts import Forecasts
    from domain.event_sourcing.aggregate import Provenance
    from domain.forecast import (
        CYCLE,
        Forecast,
        ForecastInputs,
        ForecastModel,
        QuantileSteps,
        cycle_start_of,
    )

    now = stores.clock.now()
    provenance = Provenance(
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor="bench",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=now,
    )
    load = tuple(80.0 + number % 17 for number in range(STEPS))
    model = ForecastModel(name="bench", version="1", trained_at=now)

    def issued(facility_id: str, back: int) -> Forecast:
        cycle = cycle_start_of(now) - CYCLE * back
        return Forecast.issue(
            provenance,
            facility_id=facility_id,
            cycle_start=cycle,
            inputs=ForecastInputs(
                input_hash=f"{back:064x}",
                newest_reading_at=now,
                sensor_coverage_pct=100.0,
                weather_available=True,
                weather_age_s=0.0,
            ),
            model=model,
            steps=QuantileSteps(
                starts_at=cycle,
                step_s=STEP_S,
                p10_kw=load,
                p50_kw=load,
                p90_kw=load,
            ),
        )

    forecasts = PostgresEventStore(Forecasts, stores.database_url)
    try:
        for facility_id in facility_ids:
            forecasts.save([issued(facility_id, back) for back in range(FORECAST_CYCLES)])
    finally:
        forecasts.close()


@contextmanager
def running_server(
    argv: Sequence[str], url: str | None, settings: Settings | None, *, stdin: bytes = b""
) -> Iterator[int]:
    """Run a server process until the end of the block; yields its pid after its first answer (None: at once).

    `stdin`: the content of its standard input.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    process = subprocess.Popen(
        argv, env=environ | (settings.to_environ() if settings else {}), stdin=subprocess.PIPE
    )
    try:
        if process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        if url is not None:
            _await_answer(process, url)
        yield process.pid
    finally:
        ended_by_itself = process.poll()
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if ended_by_itself is not None:
            raise RuntimeError(f"the server ended by itself with {ended_by_itself}; see above")


def _await_answer(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_S):  # noqa: S310 - a loopback address of ours
                return
        except urllib.error.HTTPError:
            return  # an error status is an answer, too
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"no answer at {url} in {READY_WITHIN_S:g} s")

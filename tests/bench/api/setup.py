"""Setup of the api benchmark: a filled database, a cache, and the servers that are measured on them."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec
import psycopg

from adapters.embedded.loopback import free_port
from interfaces.settings.settings import PREFIX, read_settings
from tests.bench.projections.setup import read_side
from tests.bench.setup import BenchDatabase, open_bench_stores
from tests.bench.webhook.setup import cpu_s_of, facility_entry, running_server

if TYPE_CHECKING:
    from application.ports.clock import Clock
    from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
    from interfaces.bootstrap.stores import Stores

FILLING_THREADS = 32
NEVER_FRESH_SPEED = 100_000.0
"""The speed of a clock that makes all cached values too old at once."""


class DREventStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of one DR event. The API has to look them up; here they are given."""

    dr_event_id: UUID
    dispatches: tuple[UUID, ...]
    facilities: tuple[UUID, ...]
    facility_topics: tuple[str, ...]


class PlainPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The start parameters of a plain server."""

    port: int
    database_url: str
    redis_url: str
    readings_since: datetime
    dr_events: tuple[DREventStreams, ...]
    is_never_fresh: bool = False
    """Whether cached values always count as too old."""


@dataclass(frozen=True)
class Server:
    """A contender: one or two equal processes."""

    ports: tuple[int, ...]
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """CPU time of its processes so far."""
        return sum(map(cpu_s_of, self.pids))


@dataclass(frozen=True)
class ApiSetup:
    """The database and the cache that the servers use."""

    tokens: tuple[str, ...]
    facility_ids: tuple[str, ...]
    dr_event_ids: tuple[UUID, ...]
    cache: str
    """The module to run."""
    _environ: dict[str, str]
    _plain: PlainPlan
    _owner_url: str

    @contextmanager
    def door(self, *, workers: int = 1, is_never_fresh: bool = False) -> Iterator[Server]:
        """Start this number of `gridproof serve` processes."""
        clock = {}
        if is_never_fresh:
            now = self._plain.readings_since.isoformat()
            clock = {"CLOCK_EPOCH": now, "CLOCK_STARTED_AT": now, "CLOCK_SPEED": str(NEVER_FRESH_SPEED)}
            with psycopg.connect(self._owner_url, autocommit=True) as owner:  # else another clock is refused
                owner.execute("DELETE FROM gridproof.system_clock")
        ports, pids = [], []
        with ExitStack() as stack:
            for _ in range(workers):
                port = free_port()
                settings = read_settings(
                    self._environ
                    | {f"{PREFIX}HTTP_BIND": f"127.0.0.1:{port}"}
                    | {PREFIX + name: value for name, value in clock.items()}
                )
                argv = [sys.executable, "-m", "interfaces.cli", "serve"]
                url = f"http://127.0.0.1:{port}/health"
                pids.append(stack.enter_context(running_server(argv, url, settings)))
                ports.append(port)
            yield Server(tuple(ports), tuple(pids))

    @contextmanager
    def plain(self, module: str, *, workers: int = 1, is_never_fresh: bool = False) -> Iterator[Server]:
        """Start the floor or the twin, given by its module."""
        ports, pids = [], []
        with ExitStack() as stack:
            for _ in range(workers):
                plan = msgspec.structs.replace(self._plain, port=free_port(), is_never_fresh=is_never_fresh)
                argv, url = [sys.executable, "-m", module], f"http://127.0.0.1:{plan.port}/"
                plan_line = msgspec.json.encode(plan) + b"\n"
                pids.append(stack.enter_context(running_server(argv, url, None, stdin=plan_line)))
                ports.append(plan.port)
            yield Server(tuple(ports), tuple(pids))


def gathered_reads(plan: PlainPlan) -> tuple[RateLimitedCurrentValues, Clock]:
    """The API's reader of current values, for the running event loop. It is not closed before the process ends."""
    from adapters.redis.shared_cache import RedisSharedCache
    from application.telemetry.current_values import CurrentValues
    from application.telemetry.rate_limited_reads import RateLimitedCurrentValues

    stores = open_bench_stores(plan.database_url)
    cache = RedisSharedCache(plan.redis_url)
    values = CurrentValues(stores.telemetry(), stores.clock, cache)
    return RateLimitedCurrentValues(values, cache, every_s=1.0), stores.clock


@contextmanager
def open_api_setup(
    database: BenchDatabase,
    *,
    keys: int,
    facilities: int,
    stored: tuple[DREventStreams, ...],
    logged_facilities: Sequence[str],
) -> Iterator[ApiSetup]:
    """Set up a log with the DR events `stored` of `logged_facilities`; `facilities` and `keys` are totals."""
    from adapters.embedded import EmbeddedServers

    program = shutil.which("redis-server")
    with (
        tempfile.TemporaryDirectory(prefix="gridproof-api-") as folder,
        EmbeddedServers(
            Path(folder), postgres=False, nats=False, valkey_program=Path(program) if program else None
        ) as servers,
    ):
        others = tuple(f"other-{number:03}" for number in range(facilities - len(logged_facilities)))
        facility_ids = (*logged_facilities, *others)
        with closing(open_bench_stores(database.app_url)) as stores:
            tokens = _fill(stores, others, keys)
            now = stores.clock.now().replace(microsecond=0)
        _project(database)
        _read_meters(database, facility_ids, now)
        plain = PlainPlan(
            port=0,
            database_url=database.app_url,
            redis_url=servers.redis_url,
            readings_since=now - timedelta(minutes=30),
            dr_events=stored,
        )
        environ = {
            f"{PREFIX}DATABASE_URL": database.app_url,
            f"{PREFIX}REDIS_URL": servers.redis_url,
            f"{PREFIX}DATA_DIR": folder,
            f"{PREFIX}LOG_LEVEL": "warning",
        }
        ids = tuple(streams.dr_event_id for streams in stored)
        yield ApiSetup(
            tokens, facility_ids, ids, program or "embedded Valkey", environ, plain, database.owner_url
        )


def _fill(stores: Stores, facility_ids: Sequence[str], keys: int) -> tuple[str, ...]:
    """Register facilities, and keys that may read all of them."""
    from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
    from application.command_bus.decision_context import CommandContext
    from application.commands.facility import RegisterFacility

    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )
    api_keys, now = stores.api_keys(), stores.clock.now()

    def register(facility_id: str) -> None:
        stores.bus.handle(RegisterFacility(entry=facility_entry(facility_id, ())), context)

    def key(_: int) -> str:
        entropy = secrets.token_bytes(SECRET_BYTES + ID_BYTES)
        return issue(api_keys, role="auditor", at=now, entropy=entropy).token

    with ThreadPoolExecutor(FILLING_THREADS) as pool:
        list(pool.map(register, facility_ids))
        return tuple(pool.map(key, range(keys)))


def _read_meters(database: BenchDatabase, facility_ids: Sequence[str], at: datetime) -> None:
    """Store one chunk with a minute's readings of each facility: the twin reads only chunks."""
    # Must come first: a connection has only the psycopg types that were registered before its first use.
    from adapters.postgres.telemetry import store  # noqa: F401
    from domain.telemetry.meter_reading import MeterReading

    with closing(open_bench_stores(database.app_url)) as stores:
        moments = [at - timedelta(seconds=15 * n) for n in (3, 2, 1, 0)]
        readings = [MeterReading(name, "main", one, 80.0, 1.0, 1) for name in facility_ids for one in moments]
        stores.telemetry().write_readings(0, 1, readings)


def _project(database: BenchDatabase) -> None:
    from projections.registry import PROJECTIONS

    with read_side(database.app_url) as side:
        for projection in PROJECTIONS:
            side.maintenance.rebuild(projection, workers=1)

"""Setup of the stream benchmark: a facility, the read side, `gridproof serve` as a process, the floor's server."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.embedded.loopback import free_port
from interfaces.settings.settings import PREFIX, read_settings
from tests.bench.projections.setup import read_side
from tests.bench.setup import BenchDatabase, open_bench_stores
from tests.bench.webhook.setup import cpu_s_of, running_server
from tests.patience import ANSWER_S


@dataclass(frozen=True)
class StreamSetup:
    """A running server, and a function that commits a domain event for it to publish."""

    url: str
    token: str
    commit: Callable[[int], tuple[int, float]]
    """Commits one domain event; returns its position and the commit time (s, machine clock)."""
    followers: tuple[Any, ...]
    """The projections that clients read."""
    pid: int

    def cpu_s(self) -> float:
        """CPU time of the server process so far."""
        return cpu_s_of(self.pid)


@contextmanager
def open_stream_setup(database: BenchDatabase) -> Iterator[StreamSetup]:
    from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
    from application.command_bus.decision_context import CommandContext
    from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
    from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry
    from application.ports.live_feed import SERVING
    from projections.registry import projection_named

    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )
    stores = open_bench_stores(database.app_url)
    try:
        entry = FacilityEntry(
            facility_id="fac-001",
            meters=(MeterEntry(meter_id="main"),),
            zones=(ZoneEntry(zone_id="hall", curtailable_kw=100.0),),
            bms=BmsEntry(address="http://127.0.0.1:1/bms"),
            programs=(),
        )
        stores.bus.handle(RegisterFacility(entry=entry), context)
        entropy = secrets.token_bytes(SECRET_BYTES + ID_BYTES)
        issued = issue(stores.api_keys(), role="dashboard", at=stores.clock.now(), entropy=entropy)
        log = stores.stream_log()

        def commit(number: int) -> tuple[int, float]:
            started = StartMaintenance(facility_id="fac-001", reason="bench")
            stores.bus.handle(started if number % 2 else EndMaintenance(facility_id="fac-001"), context)
            at = time.perf_counter()
            return log.head(), at

        with (
            tempfile.TemporaryDirectory(prefix="gridproof-stream-") as folder,
            read_side(database.app_url) as side,
        ):
            settings = read_settings(
                {
                    f"{PREFIX}DATABASE_URL": database.app_url,
                    f"{PREFIX}HTTP_BIND": f"127.0.0.1:{free_port()}",
                    f"{PREFIX}DATA_DIR": str(Path(folder)),
                    f"{PREFIX}LOG_LEVEL": "warning",
                    f"{PREFIX}STREAM_CLIENTS_PER_KEY": "1200",
                }
            )
            url = f"http://{settings.http_bind}"
            followers = tuple(side.follower(projection_named(name)) for name in SERVING)
            with running_server(
                [sys.executable, "-m", "interfaces.cli", "serve"], url + "/health", settings
            ) as pid:
                yield StreamSetup(url, issued.token, commit, followers, pid)
    finally:
        stores.close()


@contextmanager
def stream_floor() -> Iterator[tuple[str, Callable[[], float]]]:
    """Start the bare fan-out; yields its address and a function for its CPU time."""
    import socket

    port = free_port()
    argv = [sys.executable, "-m", "tests.bench.stream.floor", str(port)]
    with running_server(argv, None, None) as pid:
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", lambda: cpu_s_of(pid)

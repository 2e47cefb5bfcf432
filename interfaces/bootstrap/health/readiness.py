"""What `/ready` of a web process checks: that PostgreSQL and the disk can be written, the clock, and who listens.

Everybody may ask, so an answer is kept for some seconds and a check runs once at a time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from application.operations.process_kinds import KIND_OF
from interfaces.bootstrap.stores import Stores

if TYPE_CHECKING:
    from interfaces.readiness import ReadinessProbe

PROBE_TIMEOUT_S = 1.5
CHECK_EVERY_S = 2.0
"""Wall seconds."""
DISK_FULL_SHARE = 0.8
_BEHIND = frozenset({"no_synchronous_standby", "standby_lost", "replica_not_current"})
WRITTEN_BYTES = 8_192
"""More than a file system keeps in its own structures."""
_WRITE = """
INSERT INTO gridproof.write_probes (process, written_at) VALUES ('web', clock_timestamp())
ON CONFLICT (process) DO UPDATE SET written_at = excluded.written_at
"""


def readiness_probes(stores: Stores) -> tuple[ReadinessProbe, ...]:
    from interfaces.readiness import ReadinessProbe

    settings, folder = stores.settings, stores.settings.data_dir
    probes = [
        ReadinessProbe(name="postgresql", needed=True, check=_in_thread(_write_row, stores)),
        ReadinessProbe(name="clock", needed=True, check=_in_thread(stores.clock_monitor.check)),
        ReadinessProbe(name="replicas", needed=False, check=_in_thread(check_replicas, stores)),
    ]
    if folder.is_dir():
        probes.append(ReadinessProbe(name="disk", needed=False, check=_in_thread(check_disk, folder)))
    influx_url = settings.influx_url if settings.telemetry_store == "influx" else None
    for name, url in (("nats", settings.nats_url), ("cache", settings.redis_url), ("influxdb", influx_url)):
        if url is not None:
            probes.append(ReadinessProbe(name=name, needed=False, check=_listening(url)))
    return tuple(replace(probe, check=CachedCheck(probe.check)) for probe in probes)


def worker_probes(worker: str, stores: Stores) -> tuple[ReadinessProbe, ...]:
    """What a worker other than web needs, and what it goes on without."""
    from interfaces.readiness import ReadinessProbe

    kind, settings, folder = KIND_OF[worker], stores.settings, stores.settings.data_dir
    probes = [
        ReadinessProbe(name="postgresql", needed=True, check=_in_thread(_query, stores)),
        ReadinessProbe(name="clock", needed=True, check=_in_thread(stores.clock_monitor.check)),
    ]
    if folder.is_dir():
        probes.append(ReadinessProbe(name="disk", needed=False, check=_in_thread(check_disk, folder)))
    archive = settings.archive_url or (folder.absolute() / "archive").as_uri()
    if "archive" in kind.reaches and archive.startswith("file:"):
        archive_folder = Path(unquote(urlsplit(archive).path))
        probes.append(
            ReadinessProbe(
                name="archive", needed=False, check=_in_thread(_check_archive_folder, archive_folder)
            )
        )
    addresses = {
        "nats": settings.nats_url,
        "mqtt": settings.mqtt_url,
        "cache": settings.redis_url,
        "influxdb": settings.influx_url if settings.telemetry_store == "influx" else None,
        "weather": settings.weather_url if "weather" in kind.reaches else None,
        "archive": settings.archive_s3_endpoint if "archive" in kind.reaches else None,
    }
    for name, url in addresses.items():
        if url is not None:
            probes.append(ReadinessProbe(name=name, needed=name in kind.needs, check=_listening(url)))
    return tuple(replace(probe, check=CachedCheck(probe.check)) for probe in probes)


def _in_thread(check: Callable[..., None], *about: object) -> Callable[[], Awaitable[None]]:
    return partial(asyncio.to_thread, check, *about)


class CachedCheck:
    """Runs `check` at most once every CHECK_EVERY_S and never twice at a time. For one event loop."""

    def __init__(
        self, check: Callable[[], Awaitable[None]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._monotonic = monotonic
        self._running: asyncio.Future[Exception | None] | None = None
        self._due = float("-inf")

    async def __call__(self) -> None:
        """Raises what the last check raised. Waits for one that runs."""
        if self._running is None or (self._running.done() and self._monotonic() >= self._due):
            self._running = asyncio.ensure_future(self._result())
            self._running.add_done_callback(self._ended)
        error = await asyncio.shield(self._running)
        if error is not None:
            raise error.with_traceback(None)

    def _ended(self, _: asyncio.Future[Exception | None]) -> None:
        self._due = self._monotonic() + CHECK_EVERY_S

    async def _result(self) -> Exception | None:
        try:
            await self._check()
        except Exception as error:  # noqa: BLE001 - raised at each caller
            return error
        return None


def check_replicas(stores: Stores) -> None:
    """Whether every standby, read replica and replica of a stream is current, as the watch worker saw it last.

    Raises DependencyProblem.
    """
    from interfaces.readiness import DependencyProblem

    behind = sorted(_BEHIND.intersection(stores.alerts().open_by_name()))
    if behind:
        raise DependencyProblem(f"open alerts: {', '.join(behind)}")


def check_disk(folder: Path) -> None:
    """Write a small file in `folder`. Raises OSError, or DependencyProblem if the disk is nearly full."""
    from interfaces.readiness import DependencyProblem

    probe = folder / f".write-probe-{os.getpid()}"
    try:
        with probe.open("wb") as stream:
            stream.write(bytes(WRITTEN_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    finally:
        probe.unlink(missing_ok=True)
    if (share := used_share(folder)) > DISK_FULL_SHARE:
        raise DependencyProblem(f"{share:.0%} of the disk is used")


def used_share(folder: Path) -> float:
    """Of the disk below `folder`, from 0 to 1."""
    usage = shutil.disk_usage(folder)
    return usage.used / usage.total


def _write_row(stores: Stores) -> None:
    """A server with a full disk, or one that is only a standby, answers a query and takes no write."""
    with stores.pool.connection(timeout=PROBE_TIMEOUT_S) as connection:
        connection.execute(_WRITE)


def _query(stores: Stores) -> None:
    with stores.pool.connection(timeout=PROBE_TIMEOUT_S) as connection:
        connection.execute("SELECT 1")


def _check_archive_folder(folder: Path) -> None:
    """It is made with its first object, so the nearest folder above it counts. Raises OSError."""
    nearest = next(part for part in (folder, *folder.parents) if part.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(nearest)
    if not os.access(nearest, os.W_OK):
        raise PermissionError(nearest)


def _listening(url: str) -> Callable[[], Awaitable[None]]:
    """A probe that opens a connection to one of the addresses; without a cache or queue the web process only works with
    restrictions."""
    addresses = [urlsplit(address.strip()) for address in url.split(",")]

    async def check() -> None:
        for parts in addresses[:-1]:
            with suppress(OSError, TimeoutError):
                await connect(parts)
                return
        await connect(addresses[-1])

    async def connect(parts: SplitResult) -> None:
        if parts.scheme == "unix":
            opening = asyncio.open_unix_connection(parts.path)
        else:
            port = parts.port or {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}.get(parts.scheme)
            opening = asyncio.open_connection(parts.hostname, port)
        _, writer = await asyncio.wait_for(opening, PROBE_TIMEOUT_S)
        writer.close()
        await writer.wait_closed()

    return check

"""What `gridproof doctor` looks at. Each check gives what it found, or raises what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from interfaces.bootstrap.doctor.ledger import ledger_found
from interfaces.bootstrap.doctor.raw_archive import raw_archive_found
from interfaces.bootstrap.doctor.result import Found, Wrong
from interfaces.bootstrap.influxdb import influx_found
from interfaces.bootstrap.servers import NoRunningSystem, check_schema
from interfaces.bootstrap.stores import clock_of, database_url, open_stores
from interfaces.bootstrap.weather import weather_found
from interfaces.settings.settings import Settings

WITHIN_S = 5.0
DISK_FULL_SHARE = 0.8
MOST_SKEW_S = 2.0
MOST_LAG = 1_000


Check = Callable[[], str | Found | Awaitable[str]]


def check_up(settings: Settings) -> Iterator[Found]:
    """Every check, one after the other, each bounded in time."""
    yield _found("settings", lambda: f"{len(settings.described())} set, data in {settings.data_dir}")
    yield from _database_checks(settings)
    nats, mqtt, cache = settings.nats_url, settings.mqtt_url, settings.redis_url
    yield _found("nats", None if nats is None else lambda: _nats(nats), "check GRIDPROOF_NATS_URL")
    yield _found("mqtt", None if mqtt is None else lambda: _mqtt(settings), "check GRIDPROOF_MQTT_URL")
    yield _found(
        "cache",
        None if cache is None else lambda: _cache(cache),
        "check GRIDPROOF_REDIS_URL; without it limits are kept per process",
    )
    if settings.telemetry_store == "influx":
        yield _found("influxdb", lambda: influx_found(settings), "check GRIDPROOF_INFLUX_URL and _TOKEN")
    weather = settings.weather_key or settings.weather_url
    yield _found(
        "weather",
        None if weather is None else lambda: weather_found(settings, clock_of(settings)),
        "check GRIDPROOF_WEATHER_KEY; without weather, forecasts are degraded",
    )
    yield _found("disk", lambda: _disk(settings.data_dir))


def _database_checks(settings: Settings) -> Iterator[Found]:
    advice = "start it with `gridproof up`, or check GRIDPROOF_DATABASE_URL"
    if settings.database_url is None:
        yield Found(check="postgresql", state="wrong", detail="no address is known", advice=advice)
        return
    try:
        url = database_url(settings)
    except NoRunningSystem as error:
        yield Found(check="postgresql", state="wrong", detail=str(error), advice=advice)
        return
    found = _found("postgresql", lambda: _postgres(url), advice)
    yield found
    if found.state != "ok":
        return
    yield _found("migrations", lambda: _migrations(settings), "run `gridproof migrate`")
    yield _found("clock", lambda: _clock(settings, url), "set the machine's clock by NTP")
    yield from _store_checks(settings)


def _store_checks(settings: Settings) -> Iterator[Found]:
    stores = open_stores(settings, pool_size=1)
    try:
        positions = stores.read_models().positions
        yield _found("projections", lambda: _projections(positions()), "run `gridproof migrate`")
        yield _found("dead letters", lambda: _letters(len(stores.dead_letters().listed(limit=1_000))))
        yield _found("alerts", lambda: _alerts(stores.alerts().listed(limit=1_000)))
        yield _found("ledger", lambda: ledger_found(stores), "run `gridproof migrate`")
        yield _found("raw archive", lambda: raw_archive_found(stores), "run `gridproof migrate`")
    finally:
        stores.close()


def _found(name: str, check: Check | None, advice: str = "") -> Found:
    if check is None:
        return Found(check=name, state="not set", detail="no address is known", advice=advice)
    try:
        result = check()
        if isinstance(result, Found):
            return result
        detail = result if isinstance(result, str) else asyncio.run(_in_time(result))
    except Wrong as wrong:
        return Found(check=name, state="wrong", detail=str(wrong), advice=wrong.advice)
    except Exception as error:  # noqa: BLE001 - whatever keeps it from answering is what is wrong
        why = " ".join(str(error).split()) or "no answer in time"
        return Found(check=name, state="wrong", detail=f"{type(error).__name__}: {why}", advice=advice)
    return Found(check=name, state="ok", detail=detail)


async def _in_time(answer: Awaitable[str]) -> str:
    async with asyncio.timeout(WITHIN_S):
        return await answer


def _postgres(url: str) -> str:
    version, role, took_ms = _ask(url, "SELECT current_setting('server_version'), current_user")
    return f"{version} as {role}, {took_ms:.1f} ms"


def _clock(settings: Settings, url: str) -> str:
    skew: timedelta
    there, _ = _ask(url, "SELECT clock_timestamp()")
    skew = datetime.now(UTC) - there  # noqa: TID251 - this is about the machine's own clock
    if abs(skew.total_seconds()) > MOST_SKEW_S:
        raise Wrong(f"{skew.total_seconds():+.1f} s from the database's", "set both machines' clocks by NTP")
    pace = (
        f"{settings.clock_speed:g} times as fast as the wall" if settings.clock_speed else "the machine's own"
    )
    now = clock_of(settings).now()
    return f"{now:%Y-%m-%d %H:%M:%SZ}, {pace}, {skew.total_seconds():+.2f} s from the database's"


def _ask(url: str, question: str) -> tuple[Any, ...]:
    """The row that answers, and how long a second asking took, in ms."""
    import psycopg

    with psycopg.connect(url, connect_timeout=int(WITHIN_S), autocommit=True) as connection:
        connection.execute(question.encode())
        started = time.perf_counter()
        row = connection.execute(question.encode()).fetchone()
        took_ms = (time.perf_counter() - started) * 1_000
    return (*(row or ()), took_ms)


def _migrations(settings: Settings) -> str:
    if settings.migration_database_url is None:
        return "not looked at: GRIDPROOF_MIGRATION_DATABASE_URL is not set here"
    found = check_schema(settings)
    if found.problems:
        raise Wrong("; ".join(found.problems), "see `gridproof migrate --check`")
    if found.only_contracting and found.pending:
        waiting = ", ".join(f"{name} until release {found.needs[name]}" for name in found.pending)
        return f"none due; held back: {waiting} is everywhere"
    if found.pending:
        raise Wrong(f"pending: {', '.join(found.pending)}", "run `gridproof migrate`")
    return "none pending"


def _projections(positions: list[Any]) -> str:
    stopped = [at for at in positions if at.stopped_at is not None]
    if stopped:
        names = ", ".join(f"{at.name} at {at.stopped_at} ({at.stopped_reason})" for at in stopped)
        raise Wrong(f"stopped: {names}", "see docs/runbooks/projection_stopped.md")
    behind = [at for at in positions if at.lag > MOST_LAG]
    if behind:
        names = ", ".join(f"{at.name} by {at.lag}" for at in behind)
        raise Wrong(
            f"behind: {names}", "does `gridproof worker project` run? see docs/runbooks/projection_lag.md"
        )
    return f"{len(positions)}, at most {max((at.lag for at in positions), default=0)} behind the log"


def _letters(count: int) -> str:
    return f"{count} open" + (": see `gridproof dead-letters list`" if count else "")


def _alerts(alerts: list[Any]) -> str:
    paging = [alert for alert in alerts if alert.severity == "page"]
    if paging:
        names = ", ".join(f"{alert.name} {alert.subject}" for alert in paging)
        raise Wrong(names, "act now: docs/runbooks/ has a page of that name")
    return f"{len(alerts)} open"


async def _nats(url: str) -> str:
    from adapters.nats.connection import connect

    client = await connect(url, name="doctor", keep_trying=False)
    try:
        account = await client.jetstream(timeout=3).account_info()
        version = client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}, JetStream with {account.streams} streams"
    finally:
        await client.close()


async def _mqtt(settings: Settings) -> str:
    from adapters.mqtt import check_login
    from interfaces.bootstrap.telemetry import mqtt_tls

    return await check_login(
        str(settings.mqtt_url),
        version=settings.mqtt_version,
        tls=mqtt_tls(settings),
        client_id=f"{settings.mqtt_client_id}-doctor",
    )


async def _cache(url: str) -> str:
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)
    try:
        server = await client.info("server")
        return str(server.get("valkey_version") or server.get("redis_version"))
    finally:
        await client.aclose()


def _disk(data_dir: Path) -> str:
    folder = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    usage = shutil.disk_usage(folder)
    share = usage.used / usage.total
    text = f"{share:.0%} of {usage.total / 1e9:.0f} GB used at {folder}"
    if share > DISK_FULL_SHARE:
        raise Wrong(text, "make room, or move GRIDPROOF_DATA_DIR")
    return text

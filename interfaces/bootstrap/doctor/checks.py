"""The checks of `gridproof doctor`. Each returns a text or a CheckResult, or raises CheckFailed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from application.operations.clock_monitor import MAX_SKEW_S
from application.ports.operations.alerts import every_open_alert
from application.weather.requirements import CONSEQUENCE
from interfaces.bootstrap.clock import check_system_clock, clock_of
from interfaces.bootstrap.doctor.alerts import NAME as ALERTS
from interfaces.bootstrap.doctor.alerts import check_alerts
from interfaces.bootstrap.doctor.connections import check_connections, check_database_roles, first_row
from interfaces.bootstrap.doctor.disk import LOG_FILES, check_disk, check_log_files
from interfaces.bootstrap.doctor.ledger import check_ledger
from interfaces.bootstrap.doctor.ledger_places import check_ledger_places
from interfaces.bootstrap.doctor.meters import NAME as METERS
from interfaces.bootstrap.doctor.meters import check_meters
from interfaces.bootstrap.doctor.open_work import NAME as OPEN_WORK
from interfaces.bootstrap.doctor.open_work import check_open_work
from interfaces.bootstrap.doctor.other_servers import (
    BMS,
    CERTIFICATES,
    WEB,
    check_bms,
    check_certificates,
    check_web,
)
from interfaces.bootstrap.doctor.portfolio import check_bms_addresses, check_secret_references
from interfaces.bootstrap.doctor.raw_archive import check_raw_archive
from interfaces.bootstrap.doctor.replication import (
    check_keepalives,
    check_replica,
    check_standbys,
    check_timelines,
)
from interfaces.bootstrap.doctor.result import CheckFailed, CheckResult
from interfaces.bootstrap.doctor.servers import DATABASE_DISK, check_database_disk, check_nats
from interfaces.bootstrap.doctor.signatures import check_signatures
from interfaces.bootstrap.doctor.telemetry_log import NAME as TELEMETRY_LOG
from interfaces.bootstrap.doctor.telemetry_log import check_telemetry_log
from interfaces.bootstrap.doctor.tls import BMS_LINKS, LINKS, check_bms_links, check_links, tls_faults_named
from interfaces.bootstrap.doctor.weather import CELLS, WEATHER, check_weather, check_weather_cells
from interfaces.bootstrap.influxdb import influx_summary
from interfaces.bootstrap.servers import NoRunningSystem, check_schema
from interfaces.bootstrap.snapshots import snapshot_key
from interfaces.bootstrap.stores import database_url, open_stores
from interfaces.settings.settings import Settings

WITHIN_S = 5.0
MOST_SKEW_S = 2.0
MOST_LAG = 1_000
_AGAIN = "PostgreSQL answered, and then did not: run `gridproof doctor` again"
_REPLICAS_ADVICE = (
    "bring the NATS servers that are away back; a stream gets the replicas of GRIDPROOF_NATS_REPLICAS when a worker "
    "that uses it starts"
)


Check = Callable[[], str | CheckResult | Awaitable[str]]


def run_checks(settings: Settings, ended: str | None = None) -> Iterator[CheckResult]:
    """Run every check, one after the other, each within a time limit. `ended` as `ended_system` says it."""
    yield _run_check("settings", lambda: _settings(settings))
    yield from _database_checks(settings, ended)
    nats, mqtt, cache = settings.nats_url, settings.mqtt_url, settings.redis_url
    yield _run_check(
        "nats",
        None if nats is None else lambda: _nats(nats, settings.nats_replicas),
        "check GRIDPROOF_NATS_URL",
    )
    yield _run_check("mqtt", None if mqtt is None else lambda: _mqtt(settings), "check GRIDPROOF_MQTT_URL")
    yield _run_check(
        "cache",
        None if cache is None else lambda: _cache(cache),
        "check GRIDPROOF_REDIS_URL; without it limits are kept per process",
    )
    if nats is not None:
        yield from check_nats(settings.data_dir, nats)
    if settings.telemetry_store == "influx":
        yield _run_check(
            "influxdb", lambda: influx_summary(settings), "check GRIDPROOF_INFLUX_URL and _TOKEN"
        )
    yield _run_check(
        WEATHER,
        lambda: check_weather(settings, clock_of(settings), within_s=WITHIN_S),
        f"check GRIDPROOF_WEATHER_KEY; without weather, {CONSEQUENCE}",
    )
    yield _run_check(LINKS, lambda: check_links(settings))
    yield _run_check(CERTIFICATES, lambda: check_certificates(settings))
    yield _run_check("disk", lambda: check_disk(settings.data_dir))
    yield _run_check(LOG_FILES, lambda: check_log_files(settings))


def _database_checks(settings: Settings, ended: str | None) -> Iterator[CheckResult]:
    """`ended` says that the system of the data folder does not run."""
    advice = ended or "start it with `gridproof up`, or check GRIDPROOF_DATABASE_URL"
    if settings.database_url is None:
        yield CheckResult(check="postgresql", state="wrong", detail="no address is known", advice=advice)
        return
    try:
        url = database_url(settings)
    except NoRunningSystem as error:
        yield CheckResult(check="postgresql", state="wrong", detail=str(error), advice=advice)
        return
    result = _run_check("postgresql", lambda: _postgres(url), advice)
    yield result
    if result.state != "ok":
        return
    yield _run_check("migrations", lambda: _migrations(settings), "run `gridproof migrate`")
    yield _run_check("connections", lambda: check_connections(settings, url))
    yield _run_check("database roles", lambda: check_database_roles(url))
    yield _run_check("clock", lambda: _clock(settings, url), "set the machine's clock by NTP")
    yield from _store_checks(settings, url)


def _store_checks(settings: Settings, url: str) -> Iterator[CheckResult]:
    try:
        stores = open_stores(settings, clock=clock_of(settings), pool_size=1)  # "clock" has checked it
    except Exception as error:  # noqa: BLE001 - as in _run_check
        yield CheckResult(check="stores", state="wrong", detail=_described(error), advice=_AGAIN)
        return
    try:
        yield _run_check("timelines", lambda: check_timelines(stores), "run `gridproof migrate`")
        yield _run_check("standbys", lambda: check_standbys(stores))
        yield _run_check("keepalives", lambda: check_keepalives(stores))
        yield _run_check("read replica", lambda: check_replica(stores))
        positions = stores.read_models().positions
        yield _run_check("projections", lambda: _projections(positions()), "run `gridproof migrate`")
        yield _run_check(
            "dead letters", lambda: _dead_letters(len(stores.dead_letters().listed(limit=1_000)))
        )
        yield _run_check(OPEN_WORK, lambda: check_open_work(stores), "run `gridproof migrate`")
        yield _run_check(METERS, lambda: check_meters(stores), "run `gridproof migrate`")
        yield _run_check(ALERTS, lambda: check_alerts(every_open_alert(stores.alerts())))
        yield _run_check("signatures", lambda: check_signatures(stores.utilities().listed()))
        yield _run_check("ledger", lambda: check_ledger(stores), "run `gridproof migrate`")
        yield _run_check("snapshots", lambda: _snapshots(settings, url), "run `gridproof migrate`")
        yield _run_check("ledger places", lambda: check_ledger_places(settings, stores.database_url))
        yield _run_check("raw archive", lambda: check_raw_archive(stores), "run `gridproof migrate`")
        yield _run_check(TELEMETRY_LOG, lambda: check_telemetry_log(stores), "check GRIDPROOF_NATS_URL")
        yield _run_check("secrets", lambda: check_secret_references(stores), "run `gridproof migrate`")
        yield _run_check(CELLS, lambda: check_weather_cells(stores), "run `gridproof migrate`")
        yield _run_check("bms addresses", lambda: check_bms_addresses(stores), "run `gridproof migrate`")
        yield _run_check(BMS, lambda: check_bms(stores))
        yield _run_check(BMS_LINKS, lambda: check_bms_links(stores))
        yield _run_check(WEB, lambda: check_web(stores))
        yield _run_check(DATABASE_DISK, lambda: check_database_disk(stores))
    finally:
        stores.close()


def _settings(settings: Settings) -> str:
    defaults = Settings().to_environ()
    changed = [name for name, value in settings.to_environ().items() if defaults.get(name) != value]
    return f"{len(changed)} differ from the defaults, data in {settings.data_dir}"


def _run_check(name: str, check: Check | None, advice: str = "") -> CheckResult:
    if check is None:
        return CheckResult(check=name, state="not set", detail="no address is known", advice=advice)
    try:
        result = check()
        if isinstance(result, CheckResult):
            return result
        detail = result if isinstance(result, str) else asyncio.run(_in_time(result))
    except CheckFailed as failed:
        return CheckResult(check=name, state="wrong", detail=str(failed), advice=failed.advice)
    except Exception as error:  # noqa: BLE001 - any error of a check is its result
        return CheckResult(check=name, state="wrong", detail=_described(error), advice=advice)
    return CheckResult(check=name, state="ok", detail=detail)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no answer in time'}"


async def _in_time(answer: Awaitable[str]) -> str:
    async with asyncio.timeout(WITHIN_S):
        return await answer


def _postgres(url: str) -> str:
    with tls_faults_named():
        version, role, took_ms = first_row(url, "SELECT current_setting('server_version'), current_user")
    return f"{version} as {role}, {took_ms:.1f} ms"


def _clock(settings: Settings, url: str) -> str:
    """The machine's clock against the database's, and the settings' clock against that of the first start."""
    from adapters.postgres.connection.pool import PostgresPool
    from application.operations.system_clock import ClockMismatch

    skew: timedelta
    there, _ = first_row(url, "SELECT clock_timestamp()")
    skew = datetime.now(UTC) - there  # noqa: TID251 - this is about the machine's own clock
    if abs(skew.total_seconds()) > MOST_SKEW_S:
        raise CheckFailed(
            f"{skew.total_seconds():+.1f} s from the database's; above {MAX_SKEW_S:.0f} s nothing is decided",
            "set both machines' clocks by NTP",
        )
    with PostgresPool(url, min_size=1, max_size=1) as pool:
        try:
            check_system_clock(settings, pool, is_start=False)
        except ClockMismatch as error:
            raise CheckFailed(str(error), "give this process the settings of the others") from error
    pace = (
        f"{settings.clock_speed:g} times as fast as the wall" if settings.clock_speed else "the machine's own"
    )
    now = clock_of(settings).now()
    return f"{now:%Y-%m-%d %H:%M:%SZ}, {pace}, {skew.total_seconds():+.2f} s from the database's"


def _snapshots(settings: Settings, url: str) -> CheckResult:
    """Whether this process has the key for snapshots, and how many are stored."""
    if snapshot_key(settings) is None:
        return CheckResult(
            check="snapshots",
            state="warning",
            detail="no key, so none is used: each stream is folded when it is loaded",
            advice="set GRIDPROOF_SNAPSHOT_KEY for every process; see docs/guides/servers.md",
        )
    stored, _ = first_row(url, "SELECT count(*) FROM gridproof.demand_response_snapshots")
    return CheckResult(check="snapshots", state="ok", detail=f"{stored} stored; this process has their key")


def _migrations(settings: Settings) -> str:
    if settings.migration_database_url is None:
        return "not looked at: GRIDPROOF_MIGRATION_DATABASE_URL is not set here"
    schema = check_schema(settings)
    if schema.problems:
        raise CheckFailed("; ".join(schema.problems), "see `gridproof migrate --check`")
    if schema.only_contracting and schema.pending:
        waiting = ", ".join(f"{name} until release {schema.needs[name]}" for name in schema.pending)
        return f"none due; held back: {waiting} is everywhere"
    if schema.pending:
        raise CheckFailed(f"pending: {', '.join(schema.pending)}", "run `gridproof migrate`")
    return "none pending"


def _projections(positions: list[Any]) -> str:
    stopped = [at for at in positions if at.stopped_at is not None]
    if stopped:
        names = ", ".join(f"{at.name} at {at.stopped_at} ({at.stopped_reason})" for at in stopped)
        raise CheckFailed(f"stopped: {names}", "see docs/runbooks/projection_stopped.md")
    behind = [at for at in positions if at.lag > MOST_LAG]
    if behind:
        names = ", ".join(f"{at.name} by {at.lag}" for at in behind)
        raise CheckFailed(
            f"behind: {names}", "does `gridproof worker project` run? see docs/runbooks/projection_lag.md"
        )
    return f"{len(positions)}, at most {max((at.lag for at in positions), default=0)} behind the log"


def _dead_letters(count: int) -> str:
    return f"{count} open" + (": see `gridproof dead-letters list`" if count else "")


async def _nats(url: str, replicas: int | None = None) -> str:
    from adapters.nats.connection import connect
    from adapters.nats.stream_replicas import missing_replicas

    client = await connect(url, name="doctor", keep_trying=False)
    try:
        jetstream = client.jetstream(timeout=3)
        account = await jetstream.account_info()
        if missing := await missing_replicas(jetstream, wished=replicas):
            raise CheckFailed("; ".join(missing), _REPLICAS_ADVICE)
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
    from adapters.redis.connections import check_addresses

    return await check_addresses(url)

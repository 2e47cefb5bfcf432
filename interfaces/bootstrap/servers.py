"""The addresses of the servers: from the settings, or of the embedded ones that `gridproof up` runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import structlog

from interfaces.bootstrap.influxdb import set_up_telemetry_store
from interfaces.settings.settings import PREFIX, Settings, read_settings

if TYPE_CHECKING:
    from adapters.embedded import EmbeddedServers
    from adapters.embedded.meter_logins import MeterLogins
    from adapters.postgres.schema.compatibility_check import SchemaCheck
    from adapters.postgres.schema.migrate import MigrationResult
    from application.ports.shared_cache import SharedCache

_log = structlog.get_logger(__name__)
CACHE_NAMESPACE = "gridproof"
DATABASE_WITHIN_S = 600.0
"""Wall seconds for which a process waits for PostgreSQL at its start: longer than a failover, and than the pauses with
which a platform restarts what has ended."""
ADDRESSES = "addresses.json"
_SAVED = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "HTTP_BIND",
        "DATABASE_URL",
        "MIGRATION_DATABASE_URL",
        "NATS_URL",
        "MQTT_URL",
        "MQTT_CLIENT_ID",
        "REDIS_URL",
        "WEATHER_URL",
        "WEATHER_KEY",
        "WEATHER_QUOTA_PER_MONTH",
        "WEATHER_FORECAST_DAYS",
        "WEATHER_HISTORY_DAYS",
        "TELEMETRY_LOG_BYTES",
        "TELEMETRY_LOG_DAYS",
        "TELEMETRY_STORE",
        "INFLUX_URL",
        "INFLUX_TOKEN",
        "INFLUX_ORG",
        "BACKUP_DIR",
        "BACKUP_KEEP_FULL",
        "LOG_ARCHIVE",
        "LOG_BYTES",
        "SNAPSHOT_KEY",
        "CLOCK_EPOCH",
        "CLOCK_STARTED_AT",
        "CLOCK_SPEED",
        "BMS_NETWORKS",
        "SECRETS_DIR",
    )
)


class NoRunningSystem(RuntimeError):
    """There is no address for a server that the command needs."""


def embedded_servers(settings: Settings, *, finishes_restore: bool = False) -> EmbeddedServers:
    """The servers that the settings do not name, not started yet."""
    from adapters.embedded import EmbeddedServers
    from adapters.embedded.postgres import WalArchiving
    from adapters.postgres.schema.migrate import shipped_digests

    return EmbeddedServers(
        settings.data_dir,
        postgres=settings.database_url is None,
        nats=settings.nats_url is None,
        valkey=settings.redis_url is None,
        postgres_bindir=settings.postgres_bindir,
        wal=None
        if settings.backup_dir is None
        else WalArchiving(settings.backup_dir.absolute() / "wal", settings.backup_wal_s),
        finishes_restore=finishes_restore,
        migrations=shipped_digests(),
    )


def with_embedded(settings: Settings, servers: EmbeddedServers) -> Settings:
    """The settings with the addresses of the started embedded servers filled in."""
    changes: dict[str, str] = {}
    if settings.database_url is None:
        changes |= {
            "database_url": servers.database_url,
            "migration_database_url": servers.migration_database_url,
        }
    if settings.nats_url is None:
        changes["nats_url"] = servers.nats_url
        if settings.mqtt_url is None:
            changes["mqtt_url"] = servers.mqtt_url
            if settings.mqtt_client_id == Settings().mqtt_client_id:
                changes["mqtt_client_id"] = servers.ingest_client_id
    if settings.redis_url is None:
        changes["redis_url"] = servers.redis_url
    return replace(settings, **changes)  # type: ignore[arg-type]  # every one of them is an address


def write_private(path: Path, content: bytes) -> None:
    """Create or replace a file that only its owner may read: as a whole or not at all. Raises DiskUnusable."""
    from adapters.embedded import data_folder

    data_folder.write_private(path, content)


def free_port() -> int:
    """A loopback port without a listener."""
    from adapters.embedded import loopback

    return loopback.free_port()


def save_addresses(settings: Settings) -> None:
    """Write the addresses to a file for later commands; it holds passwords (mode 0600)."""
    saved = {name: value for name, value in settings.to_environ().items() if name in _SAVED}
    write_private(settings.data_dir / ADDRESSES, json.dumps(saved).encode())


def resolve_addresses(settings: Settings) -> Settings:
    """The settings, completed with the addresses of a running `gridproof up` in the same data folder.

    Raises NoRunningSystem when there is neither.
    """
    if settings.database_url is not None:
        return settings
    path = settings.data_dir / ADDRESSES
    try:
        saved: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoRunningSystem(
            f"no running system: start one with `gridproof up`, or name its servers "
            f"(GRIDPROOF_DATABASE_URL ...); looked for {path}"
        ) from None
    # Values equal to the default are left out: they would override those of the running system.
    defaults = Settings().to_environ()
    named = {name: value for name, value in settings.to_environ().items() if defaults.get(name) != value}
    return read_settings(saved | named)


def ended_system(settings: Settings) -> str | None:
    """What to do where the `gridproof up` of the data folder, whose addresses were used, does not run. None: it runs,
    or its addresses are of no concern."""
    from adapters.embedded.data_folder import runs_in

    folder = settings.data_dir
    if settings.database_url is not None or not (folder / ADDRESSES).exists() or runs_in(folder):
        return None
    return f"`gridproof up` does not run in {folder.absolute()}: start it there"


_KEPT_WHILE_STOPPED = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "BACKUP_DIR",
        "BACKUP_KEEP_FULL",
        "SNAPSHOT_KEY",
        "CLOCK_EPOCH",
        "CLOCK_STARTED_AT",
        "CLOCK_SPEED",
    )
)


def with_saved_choices(settings: Settings) -> Settings:
    """The settings, completed with the clock and the backups of the system that ran in the data folder last."""
    try:
        saved = json.loads((settings.data_dir / ADDRESSES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return settings
    defaults = Settings().to_environ()
    named = {name: value for name, value in settings.to_environ().items() if defaults.get(name) != value}
    return read_settings({name: saved[name] for name in _KEPT_WHILE_STOPPED & saved.keys()} | named)


def spawn_child(
    argv: Sequence[str],
    *,
    output: IO[bytes],
    env: Mapping[str, str] | None = None,
    most_memory: int | None = None,
) -> subprocess.Popen[bytes]:
    """A child process that dies with this one."""
    from adapters.embedded.child_process import spawn

    return spawn(argv, output=output, env=env, most_memory=most_memory)


def migrate_database(
    settings: Settings, *, oldest_release: str | None = None, alone: bool = False
) -> MigrationResult:
    """Migrate the database to the schema of this release, and set up the telemetry store. Raises MigrationError."""
    from adapters.postgres.schema.migrate import migrate

    done = migrate(owner_url(settings), oldest_release=oldest_release, alone=alone)
    set_up_telemetry_store(settings)
    return done


def check_history(settings: Settings) -> None:
    """Raises OtherMigrations where another version made the database, MigrationError where it is away."""
    from adapters.postgres.schema import migrate

    migrate.check_history(migrate.applied_digests(owner_url(settings)))


def accept_cluster(settings: Settings, cluster: int) -> int:
    """Record that the cluster with this system identifier continues the log; for how many logs that was not known.
    Raises MigrationError."""
    from adapters.postgres.schema import accepted_cluster

    return accepted_cluster.accept_cluster(owner_url(settings), cluster)


def read_release(written: str) -> str:
    """Check that `written` is a release, and return it. Raises ValueError."""
    from application.operations.release import release_of

    release_of(written)
    return written


def check_schema(settings: Settings) -> SchemaCheck:
    """Check the migrations against each other and the database, which is not changed. Raises MigrationError."""
    from adapters.postgres.schema import compatibility_check

    return compatibility_check.check_schema(owner_url(settings))


def owner_url(settings: Settings) -> str:
    """The address of the database's owner. Raises NoRunningSystem."""
    url = settings.migration_database_url or settings.database_url
    if url is None:
        raise NoRunningSystem(
            "no address of a database: set GRIDPROOF_MIGRATION_DATABASE_URL (the owner's role)"
        )
    from adapters.postgres.connection.dsn import UnreadableAddress, for_failover

    try:
        return for_failover(url)
    except UnreadableAddress as error:
        raise NoRunningSystem(f"{error}: correct GRIDPROOF_MIGRATION_DATABASE_URL") from error


class ExternalBroker(ValueError):
    """The settings name an external broker, whose users are set up there."""


def meter_logins(settings: Settings) -> MeterLogins:
    """The logins at the broker of `gridproof up` in this data folder. Raises ExternalBroker or NoEmbeddedBroker."""
    from adapters.embedded.meter_logins import MeterLogins

    if settings.mqtt_url is not None or settings.nats_url is not None:
        raise ExternalBroker(
            "the meters' broker is not the embedded one: set up its users there, each for the topics of its own "
            "facility (docs/guides/meters.md says how, for Mosquitto and AWS IoT Core)"
        )
    return MeterLogins(settings.data_dir)


def embedded_meter_logins(settings: Settings) -> MeterLogins:
    """The same, for the process that runs this broker. Raises NoEmbeddedBroker."""
    from adapters.embedded.meter_logins import MeterLogins

    return MeterLogins(settings.data_dir)


def cache_namespace(settings: Settings, pool: Any) -> str:
    """What the names of this system's entries in the cache begin with (ADR 0096). Raises OperationsUnavailable."""
    return CACHE_NAMESPACE if settings.redis_url is None else namespaced(system_identity(pool))


def system_identity(pool: Any) -> str:
    """What tells this system from every other one. Raises OperationsUnavailable."""
    from adapters.postgres.connection.transaction import transaction
    from adapters.postgres.operations.system_name import system_name

    with transaction(pool) as connection:
        return system_name(connection)


def namespaced(system: str) -> str:
    """What the names of entries of that system in the cache begin with."""
    return f"{CACHE_NAMESPACE}:{system}"


def current_cache(settings: Settings, pool: Any) -> SharedCache | None:
    """The cache of one event loop; None where the settings name none."""
    from adapters.redis.shared_cache import RedisSharedCache

    url = settings.redis_url
    return None if url is None else RedisSharedCache(url, namespace=cache_namespace(settings, pool))


async def wait_for_database(dsn: str, stop: asyncio.Event, *, within_s: float = DATABASE_WITHIN_S) -> bool:
    """True once PostgreSQL takes a connection that can write, False if `stop` is set first. Raises NoRunningSystem
    after `within_s`."""
    from application.command_bus.retry import Pauses, Stopped, retry_while_unavailable

    connects = partial(asyncio.to_thread, _connect_once, dsn)
    try:
        async with asyncio.timeout(within_s):
            await retry_while_unavailable(connects, stop=stop, pauses=Pauses(0.5, 2.0), on_retry=_log_wait)
    except Stopped:
        return False
    except TimeoutError as error:
        raise NoRunningSystem(
            f"PostgreSQL has not answered for {within_s:g} s: check GRIDPROOF_DATABASE_URL and the server"
        ) from error
    return True


def _connect_once(dsn: str) -> None:
    import psycopg

    from adapters.postgres.connection.session import open_session
    from adapters.postgres.connection.tls import tls_advice
    from application.ports.operations.unavailable import OperationsUnavailable

    try:
        open_session(dsn, "gridproof pool").close()
    except psycopg.OperationalError as error:
        why, advice = str(error).partition("\n")[0], tls_advice(error)
        raise OperationsUnavailable(why if advice is None else f"{why}; {advice}") from error


def _log_wait(error: Exception) -> None:
    _log.warning("PostgreSQL does not answer; this process waits for it and then starts", why=str(error))

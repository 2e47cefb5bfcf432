"""The credentials of each worker: its environment holds those of the servers that it works with, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from application.facility.secret_references import purpose_of_variable
from application.operations.process_kinds import KIND_OF, KINDS
from interfaces.settings.settings import PREFIX, SECRET_PREFIX, Settings

if TYPE_CHECKING:
    from adapters.embedded import EmbeddedServers


def worker_settings(settings: Settings, servers: EmbeddedServers, worker: str) -> Settings:
    """The settings for `gridproof worker WORKER`: the owner's database address is in none of them.

    At an embedded server each kind of worker has a login of its own; of an external one it gets what the settings name.
    """
    kind = KIND_OF[worker]
    database = settings.database_url
    if servers.runs_postgres and database == servers.database_url:
        database = servers.worker_database_url(f"gridproof_{kind.role}")
    nats = settings.nats_url if "nats" in kind.reaches else None
    if nats is not None and servers.runs_nats and nats == servers.nats_url:
        nats = servers.worker_nats_url(worker)
    cache = settings.redis_url if "cache" in kind.reaches else None
    if cache is not None and servers.runs_valkey and cache == servers.redis_url:
        cache = servers.worker_redis_url(worker)
    keeps_mqtt = "mqtt" in kind.reaches
    mqtt = settings.mqtt_url if keeps_mqtt else None
    if mqtt is not None and servers.runs_nats and mqtt == servers.mqtt_url:
        mqtt = servers.ingest_mqtt_url
    return replace(
        settings,
        database_url=database,
        migration_database_url=None,
        database_replica_url=settings.database_replica_url if "replica" in kind.reaches else None,
        nats_url=nats,
        redis_url=cache,
        mqtt_url=mqtt,
        mqtt_client_id=settings.mqtt_client_id if keeps_mqtt else Settings().mqtt_client_id,
        mqtt_sessions=settings.mqtt_sessions if keeps_mqtt else 1,
    )


def without_server_credentials(settings: Settings) -> Settings:
    """For a child process that works with no server of the system, as the simulated world."""
    return replace(
        settings,
        database_url=None,
        migration_database_url=None,
        database_replica_url=None,
        nats_url=None,
        redis_url=None,
        mqtt_url=None,
        mqtt_client_id=Settings().mqtt_client_id,
        mqtt_sessions=1,
    )


def inherited_environ(environ: Mapping[str, str], settings: Settings, worker: str | None) -> dict[str, str]:
    """What a child inherits of `environ` besides the settings: of the secrets only those that it may need.

    A reference itself is in the settings of all, so that no portfolio can name the same secret. The web process
    verifies the ledger with the public key in the data folder.
    """
    return dict(_inherited(environ, settings, worker))


def _inherited(
    environ: Mapping[str, str], settings: Settings, worker: str | None
) -> Iterator[tuple[str, str]]:
    kind = None if worker is None else KIND_OF[worker]
    own = frozenset[str]() if kind is None else kind.secrets
    of_others = frozenset[str]().union(*(other.secrets for other in KINDS)) - own
    values = {name: value for name, value in settings.to_environ().items() if value.startswith("env:")}
    referred = {
        value.removeprefix("env:")
        for name, value in values.items()
        if name.removeprefix(PREFIX).lower() not in of_others
    }
    withheld = {value.removeprefix("env:") for value in values.values()} - referred
    for name, value in environ.items():
        if name in withheld:
            continue
        if name.startswith(SECRET_PREFIX):
            purpose = purpose_of_variable(name)
            if (
                kind is None
                or name in referred
                or (purpose is not None and purpose == kind.portfolio_secrets)
            ):
                yield name, value
        elif not name.startswith(PREFIX):
            yield name, value

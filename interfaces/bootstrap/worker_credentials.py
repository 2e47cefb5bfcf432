"""The credentials of each worker: its environment holds those of the servers that it works with, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from interfaces.settings.settings import PREFIX, SECRET_PREFIX, Settings

if TYPE_CHECKING:
    from adapters.embedded import EmbeddedServers

_NATS = frozenset({"web", "relay", "schedule", "dispatch", "notify", "ingest", "aggregate", "archive"})
_CACHE = frozenset({"web", "aggregate", "forecast"})
_MQTT = frozenset({"ingest"})
_SECRET_SETTINGS = {
    "influx_token": frozenset({"web", "schedule", "aggregate", "measure", "forecast"}),
    "ledger_key": frozenset({"project"}),
    "archive_s3_secret": frozenset({"project", "archive"}),
    "weather_key": frozenset({"forecast"}),
    "alert_webhook_secret": frozenset({"notify"}),
    "alert_smtp_password": frozenset({"notify"}),
}
"""Setting that refers to a secret -> the workers that read it. The reference itself is in the settings of all, so that
no portfolio can name the same secret. The web process verifies the ledger with the public key in the data folder."""
_PORTFOLIO_SECRETS = frozenset({"web", "dispatch", "notify"})
"""They verify webhooks, call BMSs and sign callbacks."""


def worker_settings(settings: Settings, servers: EmbeddedServers, worker: str) -> Settings:
    """The settings for `gridproof worker WORKER`: the owner's database address is in none of them.

    At an embedded server each kind of worker has a login of its own; of an external one it gets what the settings name.
    """
    database = settings.database_url
    if servers.runs_postgres and database == servers.database_url:
        database = servers.worker_database_url(_database_role(worker))
    nats = settings.nats_url if worker in _NATS else None
    if nats is not None and servers.runs_nats and nats == servers.nats_url:
        nats = servers.worker_nats_url(worker)
    cache = settings.redis_url if worker in _CACHE else None
    if cache is not None and servers.runs_valkey and cache == servers.redis_url:
        cache = servers.worker_redis_url(worker)
    keeps_mqtt = worker in _MQTT
    mqtt = settings.mqtt_url if keeps_mqtt else None
    if mqtt is not None and servers.runs_nats and mqtt == servers.mqtt_url:
        mqtt = servers.ingest_mqtt_url
    return replace(
        settings,
        database_url=database,
        migration_database_url=None,
        database_replica_url=settings.database_replica_url if worker == "web" else None,
        nats_url=nats,
        redis_url=cache,
        mqtt_url=mqtt,
        mqtt_client_id=settings.mqtt_client_id if keeps_mqtt else Settings().mqtt_client_id,
        mqtt_sessions=settings.mqtt_sessions if keeps_mqtt else 1,
    )


def _database_role(worker: str) -> str:
    from adapters.postgres.schema.worker_roles import COMMANDS, PROJECTIONS, TELEMETRY, WEB

    return {
        **dict.fromkeys(("relay", "schedule", "dispatch", "notify", "measure", "forecast"), COMMANDS),
        **dict.fromkeys(("ingest", "aggregate", "archive"), TELEMETRY),
        "project": PROJECTIONS,
        "web": WEB,
    }[worker]


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
    """What a child inherits of `environ` besides the settings: of the secrets only those that it may need."""
    return dict(_inherited(environ, settings, worker))


def _inherited(
    environ: Mapping[str, str], settings: Settings, worker: str | None
) -> Iterator[tuple[str, str]]:
    of_others = {name for name, readers in _SECRET_SETTINGS.items() if worker not in readers}
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
            if worker is None or worker in _PORTFOLIO_SECRETS or name in referred:
                yield name, value
        elif not name.startswith(PREFIX):
            yield name, value

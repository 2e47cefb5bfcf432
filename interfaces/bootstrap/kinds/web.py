"""Wiring of the web process."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvloop

from adapters.embedded.meter_logins import draw_password
from adapters.forecasting.calendar.public_holidays import RegionalHolidays, load_calendars
from adapters.nats.queue_depths import NatsQueueDepths
from adapters.postgres.access.daily_usage import PostgresDailyUsage
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.forecast.past_forecasts import PostgresPastForecasts
from adapters.postgres.forecast.scores import PostgresForecastScores
from adapters.postgres.read_model.replica import ReplicaReadModels, replica_pool
from adapters.redis.rate_limit import CachedRateLimiter
from application.access.daily_quota import DailyQuotas
from application.operations.portfolio_import import PortfolioTarget
from application.operations.process_kinds import WEB_POOL
from application.operations.queue_depths import QueueDepths
from application.ports.access.daily_usage import UsageKind
from application.ports.event_store.event_store import StreamNotFound
from application.ports.operations.system_state import Queues
from domain.facility import Facility, FacilityState
from domain.identifiers import facility_stream_id
from interfaces.bootstrap.clock import measuring
from interfaces.bootstrap.connection_budget import show_budget
from interfaces.bootstrap.health.admission import admit
from interfaces.bootstrap.health.process import ReportedDependencies, heartbeats_of, reporting
from interfaces.bootstrap.health.readiness import readiness_probes
from interfaces.bootstrap.ledger import StoredLedger
from interfaces.bootstrap.operations import dead_letter_replay, host_tasks, imported_history, portfolio_ids
from interfaces.bootstrap.secrets import portfolio_rules, portfolio_secrets
from interfaces.bootstrap.servers import (
    cache_namespace,
    current_cache,
    system_identity,
    wait_for_database,
)
from interfaces.bootstrap.stores import Stores, database_url, open_stores, replica_url
from interfaces.bootstrap.telemetry import gap_sources, monitored_telemetry
from interfaces.gc_tuning import collect_garbage_seldom
from interfaces.settings.settings import Settings
from interfaces.upload_spool import UploadSpool
from interfaces.web.api.webhook.callback_ids import CallbackIds
from interfaces.web.api.webhook.secrets import WebhookSecrets
from interfaces.web.app import create_app
from interfaces.web.authentication.client_address import TrustedProxies
from interfaces.web.caching.prefix_end_cache import PrefixEndCache
from interfaces.web.edge import ReadRates, WebDependencies
from interfaces.web.guard.connection_table import ConnectionTable
from interfaces.web.host_sources import HostSources
from interfaces.web.portfolio_sources import PortfolioSources
from interfaces.web.replica_reads import ReplicaReads
from interfaces.web.starting import starting_app
from interfaces.workers.loops.cache_metrics import show_caches
from interfaces.workers.web import server
from interfaces.workers.web.monitor import WebMonitor

REPLICA_WITHIN_S = 0.5
"""For a connection to the replica; after it the primary answers."""
STATEMENT_TIMEOUT_S = 15
"""Of the pool that all callers share; the slowest statement of a request takes a second."""
OPEN_FILES = 8_192
ANSWER_AFTER_S = 1.0
"""How long PostgreSQL may take at the start before requests are answered without it."""


def run_web(settings: Settings) -> None:
    """Serve HTTP until SIGTERM or SIGINT. Raises AddressTaken."""
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    _allow_open_files(OPEN_FILES)
    show_budget("web", settings)
    show_caches()
    listener, bind = server.listening(settings.http_host, settings.http_port), settings.http_metrics_bind
    platform = None if bind is None else server.platform_listener(bind)
    if not await _wait_for_database(settings, listener, platform, stop):
        return
    stores = open_stores(settings, pool_size=WEB_POOL, statement_timeout_s=STATEMENT_TIMEOUT_S, is_start=True)
    try:
        if not await admit("web", stores, stop):
            return
        proxies = TrustedProxies(settings.http_trusted_proxies)
        async with (
            measuring(stores.clock_monitor),
            monitored_telemetry(stores, "web"),
            reporting("web", stores),
            replica_reads(stores) as replica,
        ):
            web = web_dependencies(stores, replica)
            monitor = WebMonitor(
                web.failures,
                stores.alerts(),
                stores.clock,
            )
            monitoring = asyncio.create_task(monitor.run(stop), name="web monitor")
            await asyncio.to_thread(load_calendars)
            collect_garbage_seldom()
            await server.run(
                create_app(web),
                listener=listener,
                stop=stop,
                end_streams=web.live.end,
                platform=platform,
                connections=ConnectionTable(
                    most_per_address=settings.http_connections_per_address, proxies=proxies
                ),
                proxies=proxies,
                served_over_https=settings.http_served_over_https,
            )
            monitoring.cancel()
    finally:
        stores.close()


async def _wait_for_database(
    settings: Settings, listener: socket.socket, platform: socket.socket | None, stop: asyncio.Event
) -> bool:
    """Wait, and answer meanwhile that this process waits. False if it is told to stop. Raises NoRunningSystem."""
    waiting = asyncio.create_task(wait_for_database(database_url(settings), stop))
    await asyncio.wait([waiting], timeout=ANSWER_AFTER_S)
    if not waiting.done():
        ended = asyncio.Event()
        waiting.add_done_callback(lambda _: ended.set())
        beside = None if platform is None else platform.dup()
        await server.run(starting_app(), listener=listener.dup(), platform=beside, stop=ended)
    return await waiting


def _allow_open_files(wanted: int) -> None:
    """Raise the limit of open files: each stream holds a connection, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@asynccontextmanager
async def replica_reads(stores: Stores) -> AsyncIterator[ReplicaReads | None]:
    """What is read of the replica of the settings; None where they name none. The replica need not be reachable."""
    url = replica_url(stores.settings)
    if url is None:
        yield None
        return

    pool = replica_pool(url, size=WEB_POOL, connect_within_s=REPLICA_WITHIN_S)
    try:
        yield ReplicaReads(
            ReplicaReadModels(pool, stores.read_models()),
            PrefixEndCache(PostgresStreamLog(pool)),
            PostgresPastForecasts(pool),
            PostgresForecastScores(pool),
        )
    finally:
        await asyncio.to_thread(pool.close)


def web_dependencies(stores: Stores, replica: ReplicaReads | None = None) -> WebDependencies:
    settings, secrets = stores.settings, _webhook_secrets(stores)
    return WebDependencies(
        bus=stores.bus,
        read_models=stores.read_models(),
        stream_log=stores.stream_log(),
        api_keys=stores.api_keys(),
        known_programs=stores.existing_programs,
        portfolio=_portfolio_sources(stores),
        host=_host_sources(stores),
        portfolio_rules=portfolio_rules(settings),
        queues=_queues(stores),
        system_state=stores.system_state(),
        sessions=stores.sessions(),
        dead_letter_replay=dead_letter_replay(stores),
        rate_limiter=_rate_limiter(stores),
        alerts=stores.alerts(),
        dead_letters=stores.dead_letters(),
        telemetry=stores.telemetry(),
        rollups=stores.rollups(),
        meter_powers=stores.meter_powers(),
        gap_sources=gap_sources(stores),
        past_forecasts=stores.past_forecasts(),
        forecast_scores=stores.forecast_scores(),
        settlements=stores.settlement_documents(),
        program=stores.program,
        public_holidays=RegionalHolidays(),
        ledger=StoredLedger(stores),
        live_log=stores.live_log(),
        live_signal=stores.live_signal(),
        clock=stores.clock,
        decision_clock=stores.decision_clock,
        webhook_secret=secrets.of,
        cache=current_cache(stores.settings, stores.pool),
        waits=stores.projection_waits(),
        replica=None if replica is None else replica.models,
        replica_reads=replica,
        read_rates=_read_rates(settings),
        failed_authentications_per_min=settings.http_failed_authentications_per_min,
        system=system_identity(stores.pool),
        probes=readiness_probes(stores),
        reported=ReportedDependencies(heartbeats_of(stores)),
        queue_depth=settings.queue_depth,
        waiting_per_utility=settings.waiting_per_utility,
        quotas=_daily_quotas(stores),
        allow_private_callbacks=settings.allow_private_callbacks,
        callback_ports=settings.callback_port_numbers,
        facility_coordinates=stores.facility_coordinates(),
        callback_ids=CallbackIds(stores.callback_addresses()),
        stream_clients=settings.stream_clients,
        stream_clients_per_key=settings.stream_clients_per_key,
    )


def _rate_limiter(stores: Stores) -> CachedRateLimiter:
    return CachedRateLimiter(
        stores.settings.http_rate_per_key_per_s,
        redis_url=stores.settings.redis_url,
        namespace=cache_namespace(stores.settings, stores.pool),
    )


def _queues(stores: Stores) -> Queues:
    nats_url = stores.settings.nats_url
    telemetry = None if nats_url is None else NatsQueueDepths(nats_url)
    return QueueDepths(stores.open_work(), stores.events, stores.clock, telemetry)


def _webhook_secrets(stores: Stores) -> WebhookSecrets:
    return WebhookSecrets(stores.utilities(), portfolio_secrets(stores.settings).resolver("webhook"))


def _portfolio_sources(stores: Stores) -> PortfolioSources:
    return PortfolioSources(
        facility=partial(_facility, stores),
        utilities=stores.utilities().listed,
        secret_references=partial(portfolio_secrets(stores.settings).listed, "bms"),
        ids=portfolio_ids(stores),
        target=PortfolioTarget(
            stores.bus,
            stores.utilities(),
            stores.facility_coordinates(),
            stores.act_log(),
            stores.decision_clock,
            stores.events,
        ),
    )


def _host_sources(stores: Stores) -> HostSources:
    return HostSources(
        tasks=host_tasks(stores),
        imports=imported_history(stores),
        spool=UploadSpool(stores.settings.data_dir),
        draw_password=draw_password,
    )


def _facility(stores: Stores, facility_id: str) -> FacilityState | None:
    try:
        return stores.events.load(Facility, facility_stream_id(facility_id)).state
    except StreamNotFound:
        return None


def _read_rates(settings: Settings) -> ReadRates:
    return ReadRates(
        current_per_s=settings.http_current_per_key_per_s, others_per_s=settings.http_reads_per_key_per_s
    )


def _daily_quotas(stores: Stores) -> DailyQuotas:
    settings = stores.settings
    most: dict[UsageKind, int] = {
        "stored_bytes": settings.webhook_bytes_per_day,
        "unknown_cancellations": settings.webhook_unknown_cancellations_per_day,
    }
    return DailyQuotas(PostgresDailyUsage(stores.pool), stores.clock, most=most)

"""Wiring of the monitors: what watches other processes, servers and DR events, and raises alerts."""

from __future__ import annotations

import asyncio
from functools import partial

from adapters.nats.connection import connect
from adapters.nats.raw_log import NatsRawLog
from adapters.nats.stream_replicas import telemetry_behind
from adapters.postgres.event_store.idempotency_retention import PostgresIdempotencyRetention
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from adapters.postgres.operations.database_server import PostgresDatabaseServer
from adapters.postgres.operations.lock_sessions import PostgresLockSessions
from adapters.postgres.telemetry.rollups.lag import PostgresFinalizingLag
from application.ports.coordination.locks import Locks
from application.telemetry.missing_readings_alert import MissingReadings
from interfaces.bootstrap.backup.backups import backup_monitor
from interfaces.bootstrap.connection_budget import budget_of_worker
from interfaces.bootstrap.health.process import heartbeats_of
from interfaces.bootstrap.operations import failpoint_of, replica_problem
from interfaces.bootstrap.raw_archive import clock_time
from interfaces.bootstrap.stores import Stores, replica_url
from interfaces.workers.decide.relay import READER
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.watch.alert_expiry import AlertExpiry
from interfaces.workers.watch.batch_monitor import BatchMonitor
from interfaces.workers.watch.blocked_dispatch_review import BlockedDispatchReview
from interfaces.workers.watch.dead_letter_monitor import DeadLetterMonitor
from interfaces.workers.watch.failover_monitor import FailoverMonitor
from interfaces.workers.watch.forecast_monitor import ForecastMonitor
from interfaces.workers.watch.heartbeat_monitor import HeartbeatMonitor
from interfaces.workers.watch.idempotency_expiry import IdempotencyKeyExpiry
from interfaces.workers.watch.position_monitor import (
    RELAY,
    Position,
    PositionMonitor,
    alerts_of_projection,
)
from interfaces.workers.watch.queue_monitor import WebhookQueueMonitor
from interfaces.workers.watch.reading_monitor import ReadingMonitor
from interfaces.workers.watch.recovery_monitor import RecoveryMonitor
from interfaces.workers.watch.replication_monitor import Problems, Replicas, ReplicationMonitor
from interfaces.workers.watch.restore_monitor import RestoreMonitor
from interfaces.workers.watch.rollup_monitor import RollupMonitor
from interfaces.workers.watch.telemetry_lag_monitor import TelemetryLagMonitor
from projections.registry import PROJECTIONS

REPLICA = "read replica"


def monitors_of(stores: Stores) -> list[PeriodicCheck]:
    """The monitors, and the expiry of alerts and of idempotency keys."""
    checks = [
        _dead_letter_monitor(stores).periodic,
        _forecast_monitor(stores).periodic,
        reading_monitor(stores).periodic,
        _failover_monitor(stores).periodic,
        webhook_queue_monitor(stores).periodic,
        recovery_monitor(stores).periodic,
        batch_monitor(stores).periodic,
        restore_monitor(stores).periodic,
        alert_expiry(stores).periodic,
        heartbeat_monitor(stores).periodic,
        rollup_monitor(stores).periodic,
        position_monitor(stores).periodic,
        replication_monitor(stores).periodic,
        idempotency_expiry(stores).periodic,
    ]
    backups = backup_monitor(stores)
    return checks if backups is None else [*checks, backups.periodic]


def _dead_letter_monitor(stores: Stores) -> DeadLetterMonitor:
    return DeadLetterMonitor(
        letters=stores.dead_letters(),
        alerts=stores.alerts(),
        clock=stores.clock,
        sla_s=stores.settings.dead_letter_sla_s,
    )


def _forecast_monitor(stores: Stores) -> ForecastMonitor:
    read_models = stores.read_models()
    return ForecastMonitor(
        dr_events=read_models.dr_events,
        facilities=read_models.facilities,
        review=BlockedDispatchReview(
            read_models.dispatches, stores.forecasts, stores.bus, stores.clock, failpoint_of(stores)
        ),
        book=stores.forecasts,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def _failover_monitor(stores: Stores) -> FailoverMonitor:
    return FailoverMonitor(
        server=PostgresDatabaseServer(stores.pool),
        dr_events=stores.read_models().dr_events,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def recovery_monitor(stores: Stores) -> RecoveryMonitor:
    read_models = stores.read_models()
    return RecoveryMonitor(
        overdue=partial(read_models.deadlines.overdue_work, "recovery"),
        dispatches=read_models.dispatches,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def batch_monitor(stores: Stores) -> BatchMonitor:
    read_models = stores.read_models()
    return BatchMonitor(
        dr_events=read_models.dr_events,
        dispatches=read_models.dispatches,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def webhook_queue_monitor(stores: Stores) -> WebhookQueueMonitor:
    return WebhookQueueMonitor(
        queue=partial(stores.read_models().planning_queue, tenant=None),
        depth=stores.settings.queue_depth,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def heartbeat_monitor(stores: Stores) -> HeartbeatMonitor:
    def budget_of(worker: str) -> int:
        return budget_of_worker(worker, stores.settings)

    return HeartbeatMonitor(heartbeats_of(stores), budget_of, stores.alerts(), stores.clock)


def rollup_monitor(stores: Stores) -> RollupMonitor:
    return RollupMonitor(
        lag=PostgresFinalizingLag(stores.pool),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def reading_monitor(stores: Stores) -> ReadingMonitor:
    read_models = stores.read_models()
    return ReadingMonitor(
        dr_events=read_models.dr_events,
        facilities=read_models.facilities,
        missing=MissingReadings(stores.telemetry(), stores.listed_meters(), stores.clock),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def position_monitor(stores: Stores) -> PositionMonitor:
    """The monitor of the relay and of every projection."""
    relay, read_models = PostgresReaderPositions(stores.pool), stores.read_models()

    def positions() -> dict[str, Position]:
        found = {
            f"projection {at.name}": Position(at.position, at.head, is_stopped=at.stopped_at is not None)
            for at in read_models.positions()
        }
        return {RELAY.lock: Position(relay.position(READER), stores.events.head()), **found}

    readers = [RELAY, *(alerts_of_projection(projection.name) for projection in PROJECTIONS)]
    return PositionMonitor(
        readers={reader.lock: reader for reader in readers},
        positions=positions,
        sessions=PostgresLockSessions(stores.pool),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def replication_monitor(stores: Stores) -> ReplicationMonitor:
    return ReplicationMonitor(
        server=PostgresDatabaseServer(stores.pool),
        alerts=stores.alerts(),
        clock=stores.clock,
        standbys=stores.settings.database_standbys,
        replicas=_replica_checks(stores),
    )


def _replica_checks(stores: Stores) -> list[Replicas]:
    found: list[Replicas] = []
    if (url := replica_url(stores.settings)) is not None:
        found.append(partial(_behind_of_database, url))
    if (nats := stores.settings.nats_url) is not None:
        found.append(partial(_behind_of_streams, nats, stores.settings.nats_replicas))
    return found


async def _behind_of_database(url: str) -> Problems:
    problem = await asyncio.to_thread(replica_problem, url)
    return {} if problem is None else {REPLICA: problem}


async def _behind_of_streams(nats_url: str, wished: int | None) -> Problems:
    found = await telemetry_behind(nats_url, wished=wished)
    return {f"stream {name}": problem for name, problem in found.items()}


def alert_expiry(stores: Stores) -> AlertExpiry:
    return AlertExpiry(stores.alerts(), stores.clock)


def restore_monitor(stores: Stores) -> RestoreMonitor:
    return RestoreMonitor(stores.read_models().dispatches, stores.alerts(), stores.clock)


def idempotency_expiry(stores: Stores) -> IdempotencyKeyExpiry:
    return IdempotencyKeyExpiry(
        keys=PostgresIdempotencyRetention(stores.pool),
        days=stores.settings.idempotency_days,
        clock=stores.clock,
    )


async def watch_lag(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Run the telemetry lag monitor until `stop`, once NATS answers. Without an address of NATS it does nothing."""
    settings = stores.settings
    if settings.nats_url is None:
        return
    connecting = asyncio.ensure_future(connect(settings.nats_url, name="lag watch"))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return
        client = connecting.result()
        watch = TelemetryLagMonitor(
            log=NatsRawLog(client, clock_time=clock_time(settings)),
            alerts=stores.alerts(),
            clock=stores.clock,
        )
        try:
            await watch.periodic.run(stop, locks)
        finally:
            await client.close()
    finally:
        stopping.cancel()
        while not connecting.done():
            # nats-py may take a cancellation for the failure of one server, and go on
            connecting.cancel()
            await asyncio.wait([connecting, stopping], timeout=0.5)
        await asyncio.gather(connecting, stopping, return_exceptions=True)

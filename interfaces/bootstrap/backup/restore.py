"""Recording of a restored database, and what follows from it for telemetry and buildings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from eventsourcing.utils import get_topic

from application.ports.operations.alerts import every_open_alert
from domain.administration import AdministrativeAct, LostInterval
from interfaces.bootstrap.connection_budget import KINDS
from interfaces.bootstrap.ledger import ledger_signer, open_archive
from interfaces.bootstrap.servers import NoRunningSystem, owner_url
from interfaces.bootstrap.stores import Stores, facility_rows, open_stores
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.postgres.ledger.store import PostgresLedgerStore
    from application.dispatch.execution.restored_buildings import RestoredLog
    from application.ledger.restore_point import RestorePoint
    from domain.event_sourcing.aggregate import Provenance

SESSION = "gridproof-restore"
ACTS_AT_ONCE = 500
REMEMBERED_FOR = timedelta(days=2)
"""So long a restore matters to commands: longer than a DR event that was commanded before it may still be to come."""


OF_RUNNING = ("locks", "listen", "live_log", "projections")
"""The kinds of sessions of which each worker and the web have one at least, and no command."""


class ProcessesRunning(NoRunningSystem):
    """A restore is recorded while nothing else works with the database: telemetry is delivered again."""


class RestoreRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """A restore, as it was recorded."""

    target_at: datetime | None
    recorded_at: datetime
    by: str
    checkpoint: int
    """The first one after it."""
    extends_checkpoint: int
    last_checkpoint: int
    lost: tuple[LostInterval, ...]
    readings: int | None
    """Messages of the telemetry log that are delivered again. None: no NATS is known."""
    buildings: int
    """Those that the dispatch workers ask whether they are curtailed."""


def record_restore(settings: Settings, target_at: datetime | None, *, login: str) -> RestoreRecorded:
    """Record that the database of the settings was restored, while no other process works. It may be repeated.

    Raises LedgerContradicted, LedgerUnavailable, ArchiveUnavailable, StreamUnavailable, UnusableKey, ProcessesRunning
    or NoRunningSystem.
    """
    from application.ledger.restore_point import record_restore as recorded

    with closing(open_stores(settings, pool_size=2)) as stores, _owned_ledger(settings) as ledger:
        _refuse_running(stores)
        provenance = _provenance(stores, login)
        delivered = []

        def record(point: RestorePoint) -> None:
            delivered.append(_readings_again(stores))  # not before the log was compared with what was sealed
            stores.act_log().record([_act(point, provenance, target_at)])

        signer = ledger_signer(settings)
        point, sealed = recorded(ledger, open_archive(settings), signer, stores.clock, record)
        readings = delivered[0] if delivered else _readings_again(stores)
        buildings = _ask_buildings(stores)
        checkpoint = sealed.checkpoint
        return RestoreRecorded(
            target_at=target_at,
            recorded_at=provenance.recorded_at,
            by=provenance.actor,
            checkpoint=checkpoint.number,
            extends_checkpoint=point.extends.checkpoint.number if point.extends else 0,
            last_checkpoint=checkpoint.number - 1,
            lost=point.intervals,
            readings=readings,
            buildings=buildings,
        )


def _refuse_running(stores: Stores) -> None:
    """Raises ProcessesRunning while a worker or the web has a session."""
    prefixes = tuple(prefix for kind in OF_RUNNING for prefix in KINDS[kind])
    running = sorted(name for name in stores.system_state().sessions() if name.startswith(prefixes))
    if running:
        raise ProcessesRunning(
            f"processes work with this database (sessions {', '.join(running[:5])}): stop them all first; nothing was "
            "changed"
        )


@contextmanager
def _owned_ledger(settings: Settings) -> Iterator[PostgresLedgerStore]:
    """The ledger in a session of the database's owner, who alone may skip positions."""
    from adapters.postgres.connection.session import open_session
    from adapters.postgres.ledger.store import PostgresLedgerStore

    if settings.migration_database_url is None:
        raise NoRunningSystem(
            "the owner of the database records a restore: set GRIDPROOF_MIGRATION_DATABASE_URL as well"
        )
    with closing(open_session(owner_url(settings), SESSION)) as session:
        yield PostgresLedgerStore(lambda: nullcontext(session))


def _provenance(stores: Stores, login: str) -> Provenance:
    from domain.event_sourcing.aggregate import Provenance

    return Provenance(
        recorded_at=stores.decision_clock.now(),
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor=f"operator:cli/{stores.operators().id_of(login, drawn=secrets.token_hex(6))}",
        tenant=None,
        trace_id=secrets.token_hex(16),
    )


def _act(point: RestorePoint, provenance: Provenance, target_at: datetime | None) -> AdministrativeAct:
    from application.ledger.restores import reference_of

    return AdministrativeAct.restore_database(
        provenance,
        target_at=target_at,
        extends=reference_of(point.extends),
        last=reference_of(point.last),
        lost=point.intervals,
    )


def _readings_again(stores: Stores) -> int | None:
    """Have the readings delivered again that the database lacks; returns the messages, None without NATS."""
    from adapters.nats.restored_telemetry import RestoredTelemetry
    from adapters.postgres.telemetry.store import PostgresTelemetryStore
    from domain.telemetry.meter_reading import MALFORMED, PARTITIONS

    if stores.settings.nats_url is None:
        return None
    store = PostgresTelemetryStore(stores.pool, stores.clock)
    positions = {partition: store.position(partition) for partition in range(PARTITIONS)}
    positions[MALFORMED] = max(positions.values())
    return asyncio.run(RestoredTelemetry.deliver_after(stores.settings.nats_url, positions))


def _ask_buildings(stores: Stores) -> int:
    """Have each building asked whether it does what the log knows nothing of; returns their number."""
    facility_ids = [row.facility_id for row in facility_rows(stores)]
    stores.open_work().add_checks(facility_ids)
    return len(facility_ids)


def restored_log(stores: Stores) -> RestoredLog:
    """When the database was restored last, as the acts of the last days say."""
    from application.dispatch.execution.restored_buildings import NEVER_RESTORED, RestoredLog

    since, before = stores.clock.now() - REMEMBERED_FOR, None
    restored = [get_topic(AdministrativeAct.DatabaseRestored)]
    while acts := stores.stream_log().acts(before=before, limit=ACTS_AT_ONCE, topics=restored):
        for entry in acts:
            act = entry.domain_event
            if act.recorded_at < since:
                return NEVER_RESTORED
            if isinstance(act, AdministrativeAct.DatabaseRestored):
                return RestoredLog(act.recorded_at)
        before = acts[-1].position
    return NEVER_RESTORED


def unexplained_facilities(stores: Stores) -> list[str]:
    """Those whose buildings are curtailed without a record, as an open alert says."""
    from application.dispatch.execution.restored_buildings import UNEXPLAINED

    return [one.subject for one in every_open_alert(stores.alerts()) if one.name == UNEXPLAINED]

"""Records the migrations that were applied to a running system as administrative acts (ADR 0065).

Not by `gridproof migrate` itself, which does not know the clock of the system: the relay records them when it starts.
"""

from datetime import timedelta
from uuid import UUID

from application.ports.clock import Clock
from application.ports.operations.act_log import ActLog
from domain.administration import AdministrativeAct, migration_act_id
from domain.event_sourcing.aggregate import Provenance

BY = "system"
_CREATION = timedelta(hours=1)
"""Migrations within this time after the first one made the database: they changed no running system."""


def record_migrations(log: ActLog, clock: Clock) -> int:
    """Record those that are not recorded yet, and return their number. Raises OperationsUnavailable."""
    applied = log.migrations()
    if not applied:
        return 0
    first_at = min(one.applied_at for one in applied)
    later = [one for one in applied if one.applied_at > first_at + _CREATION]
    if not later:
        return 0
    return log.record(
        [
            AdministrativeAct.apply_migration(
                _provenance(migration_act_id(one.name), clock), migration=one.name, applied_at=one.applied_at
            )
            for one in later
        ]
    )


def _provenance(act_id: UUID, clock: Clock) -> Provenance:
    return Provenance(
        correlation_id=act_id,
        causation_id=act_id,
        actor=BY,
        tenant=None,
        trace_id=act_id.hex,
        recorded_at=clock.now(),
    )

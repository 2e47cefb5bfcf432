"""Wiring of snapshots: their key, and the alert about a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import UNTIL_RESTATED
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.postgres.event_store.snapshot_reader import Snapshots
    from application.event_store.snapshot_report import SnapshotReport
    from application.ports.operations.alerts import AlertRegistry

ALERT = "snapshot_forged"
SUBJECT = "demand_response_snapshots"
VERIFICATION = "verification"
_log = structlog.get_logger(__name__)


class NoSnapshotKey(RuntimeError):
    """Without the key no snapshot can be verified."""


def snapshot_key(settings: Settings) -> bytes | None:
    """The key that the settings refer to, or the one in the data folder; None where there is none.

    Raises UnusableKey or SecretError.
    """
    from adapters.signing import snapshot_key_in, snapshot_key_of
    from interfaces.settings.secrets import resolve_secret

    if settings.snapshot_key is None:
        return snapshot_key_in(settings.data_dir)
    return snapshot_key_of(resolve_secret(settings.snapshot_key), where=f"the secret {settings.snapshot_key}")


def make_snapshot_key(settings: Settings) -> None:
    """Make the key of an embedded database, which only processes of this data folder use."""
    from adapters.signing import create_snapshot_key

    if settings.snapshot_key is None:
        create_snapshot_key(settings.data_dir)


def protected_snapshots(settings: Settings, pool: Any, clock: Clock) -> Snapshots | None:
    """How the event store uses snapshots; None without a key. Raises UnusableKey or SecretError."""
    from adapters.postgres.event_store.snapshot_reader import Snapshots
    from adapters.postgres.operations.alerts import PostgresAlerts
    from application.event_store.snapshot_mac import SnapshotMac

    key = snapshot_key(settings)
    if key is None:
        return None
    alerts: AlertRegistry = PostgresAlerts(pool)

    def report_forged(detail: str) -> None:
        _log.error("a snapshot was not made by this system", detail=detail)
        state = partial(alerts.state, observer=SUBJECT, holds_s=UNTIL_RESTATED)
        try:
            state(ALERT, {SUBJECT: detail}, at=clock.now())
        except Exception as error:  # noqa: BLE001 - an alert that cannot be raised must not stop the load
            _log.warning("alert not recorded", alert=ALERT, subject=SUBJECT, error=str(error))

    return Snapshots(SnapshotMac(key), report_forged)


def verify_snapshots(
    settings: Settings,
    pool: Any,
    clock: Clock,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SnapshotReport:
    """Compare every snapshot with a fold of its stream, and state the alert `snapshot_forged`.

    Raises NoSnapshotKey, UnusableKey, SecretError or EventStoreUnavailable.
    """
    from adapters.postgres.event_store.snapshot_verification import SnapshotVerification
    from adapters.postgres.operations.alerts import PostgresAlerts
    from application.event_store.demand_response import DemandResponse
    from application.event_store.snapshot_mac import SnapshotMac

    key = snapshot_key(settings)
    if key is None:
        raise NoSnapshotKey(
            "the key for snapshots is not known here: set GRIDPROOF_SNAPSHOT_KEY, as the workers have it"
        )
    report = SnapshotVerification(pool, SnapshotMac(key), DemandResponse.snapshot_intervals.keys()).run(
        progress
    )
    stated, alerts, now = dict[str, str](), PostgresAlerts(pool), clock.now()
    if report.findings:
        first, count = report.findings[0], len(report.findings) + report.more_findings
        where = f"version {first.version} of stream {first.stream_id}"
        stated[VERIFICATION] = f"{count} snapshots, the first: {first.kind}, {where}"
    else:
        alerts.state(ALERT, {}, observer=SUBJECT, at=now)
    alerts.state(ALERT, stated, observer=VERIFICATION, at=now, holds_s=UNTIL_RESTATED)
    return report

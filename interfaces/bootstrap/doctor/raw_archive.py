"""The check of the raw archive for `gridproof doctor`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from application.ports.operations.alerts import every_open_alert
from domain.telemetry.meter_reading import PARTITIONS
from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.raw_archive import raw_archive_progress

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

NAME = "raw archive"
MOST_SILENT_WALL_S = 60.0
"""The worker reports its progress every ten seconds."""
_ADVICE = "does `gridproof worker archive` run? see docs/runbooks/raw_archive_behind.md"


def check_raw_archive(stores: Stores) -> CheckResult:
    """How much of the telemetry log is archived; `wrong` where its worker is silent or behind."""
    if not stores.settings.telemetry_archive:
        return CheckResult(
            check=NAME, state="not set", detail="GRIDPROOF_TELEMETRY_ARCHIVE is false: nothing is archived"
        )
    progress = raw_archive_progress(stores).listed()
    behind = [
        alert.detail for alert in every_open_alert(stores.alerts()) if alert.name == "raw_archive_behind"
    ]
    if behind:
        return CheckResult(check=NAME, state="wrong", detail=behind[0], advice=_ADVICE)
    if not progress:
        return _nothing_archived(stores)
    silent: timedelta = stores.clock.now() - min(one.reported_at for one in progress)
    silent_s = stores.clock.wall_seconds(silent.total_seconds())
    objects, waiting = sum(one.objects for one in progress), sum(one.waiting for one in progress)
    complete = min(one.archived_through for one in progress)
    detail = f"{objects} objects, complete until {complete:%Y-%m-%d %H:%M:%SZ}, {waiting} messages wait for their hour"
    if silent_s > MOST_SILENT_WALL_S:
        return CheckResult(
            check=NAME,
            state="wrong",
            detail=f"its worker is silent for {silent_s:.0f} s; {detail}",
            advice=_ADVICE,
        )
    facts = {"objects": objects, "waiting": waiting, "archived_through": complete}
    return CheckResult(check=NAME, state="ok", detail=detail, facts=facts)


def _nothing_archived(stores: Stores) -> CheckResult:
    """`wrong` where readings are stored: a log that no worker archives only grows."""
    telemetry = stores.telemetry()
    if any(telemetry.position(partition) for partition in range(PARTITIONS)):
        detail = "readings are stored, and no archive worker has ever run: the telemetry log only grows"
        return CheckResult(check=NAME, state="wrong", detail=detail, advice=_ADVICE)
    return CheckResult(check=NAME, state="ok", detail="nothing is archived yet")

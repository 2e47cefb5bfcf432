"""The checks of the data folder's disk for `gridproof doctor`."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

from interfaces.bootstrap.clock import machine_time
from interfaces.bootstrap.doctor.result import CheckFailed, CheckResult
from interfaces.bootstrap.health.readiness import DISK_FULL_SHARE
from interfaces.log_files import rotated_logs
from interfaces.settings.settings import Settings

LOG_FILES = "log files"
_LATE = timedelta(days=1)


def check_disk(data_dir: Path) -> str:
    folder = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    usage = shutil.disk_usage(folder)
    share = usage.used / usage.total
    text = f"{share:.0%} of {usage.total / 1e9:.0f} GB used at {folder}"
    if share > DISK_FULL_SHARE:
        raise CheckFailed(text, "make room, or move GRIDPROOF_DATA_DIR")
    return text


def check_log_files(settings: Settings) -> CheckResult:
    """`wrong` where files have waited for the archive for a day."""
    folder = settings.data_dir / "logs"
    if not folder.is_dir():
        return CheckResult(
            check=LOG_FILES, state="not set", detail="no process of this data folder writes any"
        )
    rotated = rotated_logs(folder)
    taken = sum(one.size for one in rotated) + sum(path.stat().st_size for path in folder.glob("*.log"))
    oldest = f", since {rotated[0].at:%Y-%m-%d}" if rotated else ""
    detail = f"{taken / 1e6:.0f} MB of {settings.log_bytes / 1e6:,.0f} MB, {len(rotated)} rotated{oldest}"
    facts = {"bytes": taken, "rotated": len(rotated)}
    late = [one for one in rotated if not one.is_archived and machine_time() - one.at > _LATE]
    if settings.log_archive and late:
        return CheckResult(
            check=LOG_FILES,
            state="wrong",
            detail=f"{len(late)} wait for the archive, since {late[0].at:%Y-%m-%d}; {detail}",
            advice="check GRIDPROOF_ARCHIVE_URL, and what `gridproof up` logs of log files",
            facts=facts,
        )
    return CheckResult(check=LOG_FILES, state="ok", detail=detail, facts=facts)

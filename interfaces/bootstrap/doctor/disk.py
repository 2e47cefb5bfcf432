"""The checks of the data folder's disk for `gridproof doctor`."""

from __future__ import annotations

import shutil
from pathlib import Path

from interfaces.bootstrap.doctor.result import CheckFailed
from interfaces.bootstrap.health.readiness import DISK_FULL_SHARE


def check_disk(data_dir: Path) -> str:
    folder = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    usage = shutil.disk_usage(folder)
    share = usage.used / usage.total
    text = f"{share:.0%} of {usage.total / 1e9:.0f} GB used at {folder}"
    if share > DISK_FULL_SHARE:
        raise CheckFailed(text, "make room, or move GRIDPROOF_DATA_DIR")
    return text

"""The migrations of the database in a data folder, readable without starting PostgreSQL: `migrations.json`.

PostgreSQL changes its folder when it starts. So that a folder of another version is refused untouched, the file names
the migrations that its database has, or is about to get.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from adapters.embedded.data_folder import write_private
from adapters.embedded.errors import OtherMigrations
from application.operations.migration_history import WHAT_TO_DO, history_difference
from domain.event_sourcing.decoders import json_decoder

FILE = "migrations.json"
_ADVICE = f"{WHAT_TO_DO} an empty data folder (GRIDPROOF_DATA_DIR)."


def check_folder(data_dir: Path, ours: Mapping[str, str]) -> None:
    """Raises OtherMigrations where the database in the folder was made by others than `ours` (name -> SHA-256)."""
    if not (data_dir / "postgres" / "pgdata").exists():
        return
    recorded = _recorded(data_dir)
    difference = (
        "nothing says by which migrations" if recorded is None else history_difference(recorded, ours)
    )
    if difference is not None:
        raise OtherMigrations(
            "embedded servers",
            f"another version made the database in {data_dir}: {difference}",
            advice=_ADVICE,
        )


def record_migrations(data_dir: Path, ours: Mapping[str, str]) -> None:
    """Before the database is made or migrated. A record of a newer release, which has more, stays."""
    recorded = _recorded(data_dir)
    if recorded is None or len(recorded) < len(ours):
        write_private(data_dir / FILE, msgspec.json.encode(dict(ours), order="sorted"))


def _recorded(data_dir: Path) -> dict[str, str] | None:
    """None: there is no file, or none that can be read."""
    try:
        found: dict[str, str] = json_decoder(dict[str, str]).decode((data_dir / FILE).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found

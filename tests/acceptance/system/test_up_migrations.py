"""An embedded database serves only one system: when that starts, no older release can be using it."""

from pathlib import Path

import pytest

from adapters.postgres.schema import migrate as migrations
from adapters.postgres.schema.compatibility_check import check_schema
from interfaces.settings.settings import Settings
from interfaces.system.running_system import RunningSystem

CONTRACTING = "-- contract: needs release 9.0\nDROP TABLE IF EXISTS gridproof.nothing;"


def test_a_system_with_its_own_database_applies_contracting_migrations_at_startup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = migrations.migration_files()
    for count in (1, 2):
        shipped = [
            *files,
            *((f"{len(files) + number:04}_less.sql", CONTRACTING) for number in range(1, count + 1)),
        ]
        monkeypatch.setattr(migrations, "migration_files", lambda shipped=shipped: shipped)
        with RunningSystem(Settings(data_dir=tmp_path / "data", http_bind="127.0.0.1:0")) as system:
            settings = system.start_servers()
            assert settings.migration_database_url is not None
            assert check_schema(settings.migration_database_url).is_clean

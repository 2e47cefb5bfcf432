"""M3: utilities that were stored before signatures v2 may go on with v1 until they get a date; new ones may not."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.schema import migrate as migrations
from adapters.postgres.utilities import PostgresUtilities
from application.facility.portfolio_entries import NO_DATE_YET, UtilityEntry
from tests.sample_values import portfolio_act
from tests.servers import Database

FILES = migrations.migration_files()
BEFORE = [(name, sql) for name, sql in FILES if name < "0024"]
NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)


def test_the_migration_lets_stored_utilities_sign_v1_without_an_end(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "migration_files", lambda: BEFORE)
    migrations.migrate(empty_database.owner_dsn)
    with psycopg.connect(empty_database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.utilities (utility_id, name, changed_at) VALUES ('old', '', now())"
        )
    monkeypatch.setattr(migrations, "migration_files", lambda: FILES)
    migrations.migrate(empty_database.owner_dsn)
    with ConnectionPool[Any](empty_database.app_dsn, min_size=1, max_size=1) as pool:
        utilities = PostgresUtilities(pool)
        utilities.keep([UtilityEntry(utility_id="new")], at=NOW, act=portfolio_act())
        found = {entry.utility_id: entry.webhook_v1_until for entry in utilities.listed()}
    assert found == {"old": NO_DATE_YET, "new": None}

"""The name of a system: of its database, for each of its roles, and the same in each process."""

import psycopg
import pytest

from adapters.postgres.operations.system_name import system_name
from interfaces.bootstrap.servers import cache_namespace
from interfaces.bootstrap.stores import open_stores
from interfaces.settings.settings import Settings
from tests.servers import Database


def name_at(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        return system_name(connection)


def test_a_system_has_one_name_and_another_database_another(database: Database) -> None:
    assert name_at(database.app_dsn) == name_at(database.admin_dsn)
    with psycopg.connect(database.admin_dsn, dbname="postgres") as connection:
        assert system_name(connection) != name_at(database.app_dsn)


@pytest.mark.parametrize(("url", "named"), [("redis://127.0.0.1:9/0", True), (None, False)])
def test_entries_in_the_cache_have_it(database: Database, url: str | None, *, named: bool) -> None:
    stores = open_stores(Settings(database_url=database.app_dsn, redis_url=url))
    try:
        suffix = f":{name_at(database.app_dsn)}" if named else ""
        assert cache_namespace(stores.settings, stores.pool) == f"gridproof{suffix}"
    finally:
        stores.close()

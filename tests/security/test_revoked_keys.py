"""L5: what was revoked stays revoked, for the application's role too; no worker can issue a key (test_worker_roles)."""

import psycopg
import pytest
from psycopg import sql

from tests.servers import Database


def test_a_revoked_key_stays_revoked(database: Database) -> None:
    with psycopg.connect(database.app_dsn, autocommit=True) as app:
        app.execute(
            "INSERT INTO gridproof.api_keys (key_id, role, created_at, revoked_at, secret_hash) "
            "VALUES ('x', 'admin', now(), now(), sha256(''))"
        )
        for value in ("NULL", "now() + interval '1 day'"):
            with pytest.raises(psycopg.IntegrityError, match="revoked"):
                app.execute(sql.SQL("UPDATE gridproof.api_keys SET revoked_at = {}").format(sql.SQL(value)))
        app.execute("UPDATE gridproof.api_keys SET revoked_at = coalesce(revoked_at, now())")

"""Resets a database that a test has used; creating a new one costs half a second of processor time.

A database is used again only if its schema, rights and initial rows are those of the template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

_OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"
_SCHEMA = f"""
SELECT md5(string_agg(part, E'\\n' ORDER BY part)) FROM (
    SELECT concat_ws('|', nspname, nspacl::text, nspowner) AS part FROM pg_namespace WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', relnamespace::regnamespace, relname, relkind, relacl::text, relowner, reloptions::text,
        relpersistence, relrowsecurity, relispartition, relreplident, pg_get_expr(relpartbound, c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', relname, attname, attnum, atttypid, attnotnull, attidentity, attacl::text, attoptions::text,
        attstattarget, pg_get_expr(adbin, adrelid))
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE {_OURS} AND attnum > 0
    UNION ALL
    SELECT concat_ws('|', relname, conname, contype, convalidated, pg_get_constraintdef(k.oid))
        FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', indexrelid::regclass, indisvalid, indisready, pg_get_indexdef(indexrelid))
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', relname, tgname, tgenabled, tgfoid::regproc)
        FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL
    SELECT concat_ws('|', proname, proacl::text, proowner, md5(pg_get_functiondef(p.oid)))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', oid, proacl::text) FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proacl IS NOT NULL
    UNION ALL
    SELECT concat_ws('|', ev_class::regclass, rulename, md5(pg_get_ruledef(r.oid)))
        FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS}
    UNION ALL
    SELECT concat_ws('|', schemaname, tablename, policyname, roles::text, cmd, qual, with_check) FROM pg_policies
    UNION ALL
    SELECT concat_ws('|', seqrelid::regclass, seqtypid, seqincrement, seqmax, seqmin, seqcycle) FROM pg_sequence
    UNION ALL
    SELECT concat_ws('|', defaclrole, defaclnamespace, defaclobjtype, defaclacl::text) FROM pg_default_acl
    UNION ALL
    SELECT concat_ws('|', 'and others', (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_enum),
        (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_extension), (SELECT count(*) FROM pg_type),
        (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_prepared_xacts))
    UNION ALL
    SELECT concat_ws('|', datacl::text, datdba, datconnlimit, datallowconn) FROM pg_database
        WHERE datname = current_database()
    UNION ALL
    SELECT concat_ws('|', setrole, setconfig::text) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""
_TABLES = f"""
SELECT c.oid::regclass::text, pg_relation_size(c.oid) > 0 FROM pg_class c
JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS} AND relkind IN ('r', 'p')
"""
_SEQUENCES_TO_THEIR_START = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
_OTHERS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"


@dataclass(frozen=True)
class Template:
    """The state of a new database: its tables, its schema's digest, and the rows that migrations insert."""

    tables: frozenset[str]
    schema: str
    rows: dict[str, bytes]


def template_of(connection: Connection) -> Template:
    """The template from the database of the superuser's `connection`."""
    tables = connection.execute(_TABLES).fetchall()
    rows = {table: _rows(connection, table) for table, filled in tables if filled}
    return Template(frozenset(table for table, _ in tables), _schema(connection), rows)


def reset_to_template(connection: Connection, template: Template) -> bool:
    """Reset the database; returns false if it has to be dropped."""
    connection.execute(
        "SET session_replication_role = replica"
    )  # also for tables with triggers that refuse it
    made = [table for table, _ in connection.execute(_TABLES).fetchall() if table not in template.tables]
    for table in made:
        connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
    if _schema(connection) != template.schema:
        return False
    filled = [table for table, holds in connection.execute(_TABLES).fetchall() if holds]
    changed = [
        table
        for table in filled
        if table not in template.rows or _rows(connection, table) != template.rows[table]
    ]
    if changed:
        connection.execute(f"TRUNCATE {', '.join(changed)} CASCADE".encode())
    connection.execute(_SEQUENCES_TO_THEIR_START)
    for table, rows in template.rows.items():
        if _rows(connection, table) != rows:
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                copy.write(rows)
    # As in a new copy of the template: plans do not depend on the tests before.
    connection.execute("DELETE FROM pg_statistic")
    connection.execute("SELECT pg_stat_reset()")
    return True


def rename(connection: Connection, name: str, to: str) -> None:
    """Disconnect all clients and rename the database. Raises ObjectInUse."""
    connection.execute(_OTHERS, (name,))
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))
    )


def _schema(connection: Connection) -> str:
    row = connection.execute(_SCHEMA.encode()).fetchone()
    assert row is not None
    return str(row[0])


def _rows(connection: Connection, table: str) -> bytes:
    with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return b"".join(bytes(part) for part in copy)

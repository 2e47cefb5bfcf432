"""M1: each kind of worker has a database role with a part of the rights, and the environment for it alone."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded import EmbeddedServers
from adapters.embedded.postgres import COMMANDS, PROJECTIONS, TELEMETRY, WEB, WORKER_ROLES
from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.schema import worker_roles
from adapters.postgres.schema.migrate import migrate
from adapters.postgres.utilities import PostgresUtilities
from application.access.api_keys import issue, revoke, rotate
from application.facility.portfolio_entries import UtilityEntry
from application.ports.access.api_keys import KeyIssueNotAllowed
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from interfaces.bootstrap import inherited_environ, without_server_credentials, worker_settings
from interfaces.bootstrap.doctor.connections import check_database_roles
from interfaces.settings.settings import Settings, read_settings
from interfaces.system.running_system import PROCESSES
from tests.servers import Database, PostgresServer

Connect = Callable[[str], psycopg.Connection]
EVENT = "(originator_id, originator_version, topic, state) VALUES (gen_random_uuid(), 1, 'x', '')"


@pytest.fixture
def connect(postgres_server: PostgresServer, database: Database) -> Iterator[Connect]:
    opened: list[psycopg.Connection] = []

    def as_role(role: str) -> psycopg.Connection:
        connection = psycopg.connect(postgres_server.embedded.url(role, database.name), autocommit=True)
        opened.append(connection)
        return connection

    yield as_role
    for connection in opened:
        connection.close()


def is_allowed(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.Error:
        return True  # rights are looked at first: this refuses the row
    return True


def test_the_roles_of_the_embedded_server_and_of_the_migrations_are_the_same() -> None:
    assert WORKER_ROLES == worker_roles.WORKER_ROLES


def test_each_role_can_write_what_its_workers_write_and_nothing_else(connect: Connect) -> None:
    writes = {
        f"INSERT INTO gridproof.demand_response_events {EVENT}": {COMMANDS, WEB},
        f"INSERT INTO gridproof.forecasts_events {EVENT}": {COMMANDS, WEB},
        f"INSERT INTO gridproof.demand_response_snapshots {EVENT}": {COMMANDS, WEB},
        "INSERT INTO gridproof.reader_positions VALUES ('x', 1)": {COMMANDS, WEB},
        "UPDATE gridproof.api_keys SET revoked_at = now()": {COMMANDS, WEB},
        "DELETE FROM gridproof.sessions": {WEB},
        "INSERT INTO gridproof.sessions (token_hash, key_id, expires_at) SELECT '', 'x', now() WHERE false": {
            WEB
        },
        "DELETE FROM gridproof.operators": {WEB},
        "UPDATE gridproof.utilities SET changed_at = now()": {WEB},
        "DELETE FROM gridproof.callback_addresses": {WEB},
        "SELECT url FROM gridproof.callback_addresses": {COMMANDS, WEB},
        "DELETE FROM gridproof.rm_facilities": {PROJECTIONS},
        "UPDATE gridproof.projection_positions SET position = 0": {PROJECTIONS},
        "UPDATE gridproof.ledger_heads SET size = 0": {PROJECTIONS},
        "DELETE FROM gridproof.reading_chunks": {TELEMETRY},
        "DELETE FROM gridproof.current_values": {TELEMETRY},
        "UPDATE gridproof.telemetry_positions SET stream_seq = 0": {TELEMETRY},
        "DELETE FROM gridproof.rollups": {TELEMETRY},
        "DELETE FROM gridproof.interval_readings": {TELEMETRY},
        "DELETE FROM gridproof.meter_days": {TELEMETRY},
        "DELETE FROM gridproof.telemetry_corrections": {TELEMETRY},
        "SELECT gridproof.drop_readings_day('2000-01-01', '1 day')": {TELEMETRY},
        "SELECT gridproof.prepare_readings_day('2026-07-14')": {TELEMETRY},
        "SELECT gridproof.create_generation('nothing', 1)": {PROJECTIONS},
        "INSERT INTO gridproof.dead_letters (dead_letter_id, queue, subject, reason, body, parked_at) "
        "SELECT gen_random_uuid(), 'x', 'x', 'x', '', now() WHERE false": set(WORKER_ROLES),
        "INSERT INTO gridproof.system_clock (epoch, started_at, speed) "
        "SELECT NULL, NULL, NULL WHERE false": set(WORKER_ROLES),
        "INSERT INTO gridproof.open_work (kind, queue, position) VALUES ('bms', 'x', 1)": {COMMANDS, WEB},
        "INSERT INTO gridproof.open_work (kind, queue, position, holder) VALUES ('bms', 'x', 1, 1)": set(),
        "UPDATE gridproof.open_work SET holder = 1": {COMMANDS},
        "UPDATE gridproof.open_work SET position = 1": set(),
        "DELETE FROM gridproof.open_work": {COMMANDS},
        "SELECT gridproof.extend_recorded_times(1)": {PROJECTIONS},
        "SELECT login FROM gridproof.operators": {WEB},
        "SELECT secret_hash FROM gridproof.api_keys": {COMMANDS, WEB},
        "SELECT * FROM gridproof.utilities": {COMMANDS, WEB},
        "SELECT * FROM gridproof.demand_response_events": set(WORKER_ROLES),
        "SELECT * FROM gridproof.rm_facilities": set(WORKER_ROLES),
        "INSERT INTO gridproof.host_tasks (task_id, kind, work, requested_by, trace_id) "
        "SELECT gen_random_uuid(), 'x', '{}', 'x', 'x' WHERE false": {WEB},
        "SELECT work FROM gridproof.host_tasks": {WEB},
        "UPDATE gridproof.host_tasks SET state = 'done'": set(),
        "DELETE FROM gridproof.host_tasks": set(),
        "SELECT meter_logins FROM gridproof.host_state": set(WORKER_ROLES),
        "UPDATE gridproof.host_state SET meter_logins = NULL": set(),
        "UPDATE gridproof.demand_response_events SET topic = ''": set(),
        "DELETE FROM gridproof.demand_response_events": set(),
        "TRUNCATE gridproof.demand_response_events": set(),
        "CREATE TABLE gridproof.mine (id int)": set(),
    }
    connections = {role: connect(role) for role in WORKER_ROLES}
    for statement, expected in writes.items():
        allowed = {role for role, connection in connections.items() if is_allowed(connection, statement)}
        assert allowed == expected, statement


def test_doctor_finds_the_roles_and_who_is_connected(connect: Connect, database: Database) -> None:
    connect(TELEMETRY)
    result = check_database_roles(database.app_dsn)
    assert result.state == "ok"
    assert "gridproof_telemetry 1" in result.detail


def test_no_worker_but_the_web_process_can_issue_a_key(connect: Connect, database: Database) -> None:
    issue = "INSERT INTO gridproof.api_keys (key_id, role, created_at, secret_hash) VALUES ('x', 'admin', now(), '')"
    assert [role for role in WORKER_ROLES if is_allowed(connect(role), issue)] == [WEB]


def test_the_web_process_makes_rotates_and_revokes_keys_and_records_it(
    postgres_server: PostgresServer, database: Database
) -> None:
    now = datetime.now(UTC)
    with ConnectionPool[Any](postgres_server.embedded.url(WEB, database.name), min_size=1) as pool:
        keys = PostgresApiKeys(pool)
        first = issue(keys, role="auditor", name="x", at=now, entropy=os.urandom(38)).api_key.key_id
        rotate(keys, first, overlap=timedelta(0), at=now + timedelta(seconds=1), entropy=os.urandom(38))
        revoke(keys, first, at=now + timedelta(seconds=2))
        utility = UtilityEntry(utility_id="city-power")
        at = Provenance(
            correlation_id=uuid4(),
            causation_id=uuid4(),
            actor="admin:x",
            tenant=None,
            trace_id="0" * 32,
            recorded_at=now,
        )
        begun = AdministrativeAct.begin_portfolio_import(
            at, file_sha256=None, utilities=(), programs_changed=0, facilities_changed=0
        )
        assert PostgresUtilities(pool).keep([utility], at=now, act=begun) == 1
        assert PostgresUtilities(pool).find("city-power") == utility
        assert [key.name for key in keys.listed()] == ["x", "x"]
        recorded = acts_in(pool)
    assert recorded == 5


def acts_in(pool: ConnectionPool[Any]) -> int:
    """The number of administrative acts."""
    with pool.connection() as connection:
        (count,) = connection.execute("SELECT count(*) FROM gridproof.administrative_acts").fetchone() or (0,)
    return int(count)


def test_a_web_process_of_another_role_says_where_a_key_is_made(
    postgres_server: PostgresServer, database: Database
) -> None:
    with ConnectionPool[Any](postgres_server.embedded.url(COMMANDS, database.name), min_size=1) as pool:
        with pytest.raises(KeyIssueNotAllowed, match="gridproof keys create"):
            issue(PostgresApiKeys(pool), role="auditor", at=datetime.now(UTC), entropy=os.urandom(38))
        assert PostgresApiKeys(pool).listed() == []


def test_a_database_of_before_gets_the_rights_at_the_next_migration(
    connect: Connect, database: Database
) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA gridproof FROM gridproof_telemetry")
        owner.execute("GRANT INSERT ON gridproof.api_keys TO gridproof_commands")
    migrate(database.owner_dsn)
    assert is_allowed(connect(TELEMETRY), "SELECT * FROM gridproof.rm_facilities")
    assert not is_allowed(connect(COMMANDS), "INSERT INTO gridproof.api_keys DEFAULT VALUES")


CREDENTIALS = (
    *("nats-password", "mqtt-password", "cache-password", "drawn", "=hall", "=asks", "=city"),
    *("=pem", "=s3-secret", "=weather-secret", "=influx-secret"),
)


def test_the_environment_of_each_worker_holds_its_own_credentials_only(
    postgres_server: PostgresServer, database: Database, tmp_path: Path
) -> None:
    servers = EmbeddedServers(tmp_path)
    servers._running = {"postgres": postgres_server.embedded}
    settings = Settings(
        data_dir=tmp_path,
        database_url=servers.database_url,
        migration_database_url=servers.migration_database_url,
        nats_url="nats://gridproof:nats-password@127.0.0.1:4222",
        mqtt_url="mqtt://gridproof:mqtt-password@127.0.0.1:1883",
        mqtt_client_id="drawn",
        redis_url="redis://:cache-password@127.0.0.1:6379/0",
        ledger_key="env:GRIDPROOF_SECRET_LEDGER",
        archive_s3_key_id="archive",
        archive_s3_secret="env:S3_SECRET",
        weather_key="env:GRIDPROOF_SECRET_WEATHER",
        influx_token="env:INFLUX_TOKEN",
    )
    inherited = {
        "PATH": "/bin",
        "GRIDPROOF_SECRET_BMS_HALL": "hall",
        "GRIDPROOF_SECRET_WEBHOOK_CITY": "asks",
        "GRIDPROOF_SECRET_CALLBACK_CITY": "city",
        "GRIDPROOF_SECRET_LEDGER": "pem",
        "GRIDPROOF_SECRET_WEATHER": "weather-secret",
        "S3_SECRET": "s3-secret",
        "INFLUX_TOKEN": "influx-secret",
        "GRIDPROOF_MIGRATION_DATABASE_URL": servers.migration_database_url,
    }
    owner = postgres_server.embedded.data.password("gridproof_owner")
    app = postgres_server.embedded.data.password("gridproof_app")
    holders: dict[str, set[str]] = {}
    for worker in {*PROCESSES.values(), "world"}:
        own = (
            without_server_credentials(settings)
            if worker == "world"
            else worker_settings(settings, servers, worker)
        )
        environ = inherited_environ(inherited, own, None if worker == "world" else worker) | own.to_environ()
        whole = "\n".join(f"{name}={value}" for name, value in environ.items())
        assert owner not in whole
        assert app not in whole
        assert environ["PATH"] == "/bin"
        assert (
            read_settings(environ).ledger_key == settings.ledger_key
        )  # no portfolio may name the same secret
        for credential in CREDENTIALS:
            if credential in whole:
                holders.setdefault(credential, set()).add(worker)
        for role in WORKER_ROLES:
            if postgres_server.embedded.data.password(role) in whole:
                holders.setdefault(role, set()).add(worker)
    assert holders == {
        "nats-password": {"web", "watch", "ingest", "aggregate", "archive"},
        "mqtt-password": {"ingest"},
        "drawn": {"ingest"},
        "cache-password": {"web", "aggregate", "compute"},
        "=hall": {"dispatch", "world"},
        "=asks": {"web", "world"},
        "=city": {"watch", "world"},
        "=pem": {"project"},
        "=s3-secret": {"project", "archive"},
        "=weather-secret": {"compute"},
        "=influx-secret": {"web", "watch", "aggregate", "compute"},
        COMMANDS: {"decide", "dispatch", "watch", "compute"},
        WEB: {"web"},
        TELEMETRY: {"ingest", "aggregate", "archive"},
        PROJECTIONS: {"project"},
    }
    assert "GRIDPROOF_MIGRATION_DATABASE_URL" not in os.environ

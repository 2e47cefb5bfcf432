"""A contracting migration is refused while a process that is older than it needs is connected to the database."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.session import open_session, with_release
from adapters.postgres.coordination.exclusive_lock import COUNT_BY_HOLDER
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.heartbeats import PostgresHeartbeats
from adapters.postgres.schema import migrate as migrations
from adapters.postgres.schema.compatibility_check import check_schema
from adapters.postgres.schema.migrate import (
    OlderProcessesRunning,
    connected_processes,
    migrate,
    migration_files,
)
from application.event_store.demand_response import DemandResponse
from application.operations.release import RELEASE
from application.ports.operations.heartbeats import Process
from interfaces.bootstrap.connection_budget import kind_of
from interfaces.cli import main
from tests.servers import Database

NUMBER = len(migration_files()) + 1
EXPANDING = (f"{NUMBER:04}_more.sql", "-- expand\nCREATE TABLE gridproof.more (id int);")
CONTRACTING = (
    f"{NUMBER + 1:04}_less.sql",
    f"-- contract: needs release {RELEASE}\nDROP TABLE gridproof.more;",
)


@pytest.fixture(autouse=True)
def contracting_release(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this tree would ship; the database is made before."""
    files = [*migration_files(), EXPANDING, CONTRACTING]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)


@contextmanager
def older_session(dsn: str, application_name: str) -> Iterator[int]:
    """Its server process."""
    with psycopg.connect(dsn, application_name=application_name) as session:
        yield session.info.backend_pid


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gridproof pool",
        "gridproof locks 0.1.9",
        "turn ingest meters/4f1c",
        "projection dr_events/4f1c/0.1.0",
    ],
)
def test_an_older_process_prevents_the_contraction_until_it_ends(database: Database, name: str) -> None:
    with older_session(database.app_dsn, name) as backend:
        with pytest.raises(OlderProcessesRunning, match=rf"before {RELEASE} use.*server process {backend}\)"):
            migrate(database.owner_dsn, oldest_release=RELEASE)
        assert check_schema(database.owner_dsn).pending == [EXPANDING[0], CONTRACTING[0]]
    assert migrate(database.owner_dsn, oldest_release=RELEASE).applied == [EXPANDING[0], CONTRACTING[0]]


def test_an_older_process_prevents_no_expansion(database: Database) -> None:
    with older_session(database.app_dsn, "gridproof pool"):
        done = migrate(database.owner_dsn)
    assert (done.applied, done.held_back) == ([EXPANDING[0]], {CONTRACTING[0]: RELEASE})


def test_every_way_to_reach_the_database_states_the_release(database: Database) -> None:
    """And none hides which kind of session it is."""
    with ExitStack() as opened:
        opened.enter_context(PostgresPool(database.app_dsn, min_size=1, max_size=1, open=True)).wait()
        store = opened.enter_context(closing(PostgresEventStore(DemandResponse, database.app_dsn)))
        store.head()
        opened.enter_context(open_session(database.app_dsn, "turn ingest meters/4f1c"))
        opened.enter_context(
            open_session(make_conninfo(database.app_dsn, application_name="ledger"), "ledger")
        )
        seen = connected_processes(database.owner_dsn)
        assert {one.release for one in seen} == {RELEASE}
        names = {one.what.split("'")[1] for one in seen}
        assert names >= {"gridproof pool", "turn ingest meters/4f1c", "ledger"}
        assert all(kind_of(name) for name in names)
        assert migrate(database.owner_dsn, oldest_release=RELEASE).applied == [EXPANDING[0], CONTRACTING[0]]


def test_a_holder_of_locks_has_the_same_name_in_both_releases(database: Database) -> None:
    with (
        older_session(database.app_dsn, "turn ingest meters/of-before"),
        open_session(database.app_dsn, "turn ingest meters/of-now") as session,
    ):
        found = session.execute(COUNT_BY_HOLDER.encode(), ("turn ingest ",)).fetchall()
    assert sorted(found) == [("of-before", 0), ("of-now", 0)]


def test_a_process_is_named_by_its_heartbeat(database: Database) -> None:
    process = Process("relay", "host-1", 4711)
    older = with_release("gridproof pool", "0.1.0")
    with (
        PostgresPool(database.app_dsn, min_size=1, max_size=1, open=True) as pool,
        older_session(database.app_dsn, older) as backend,
    ):
        PostgresHeartbeats(pool).beat(process, backends=[backend], dependencies={})
        with pytest.raises(
            OlderProcessesRunning, match=r"relay on host-1, pid 4711 \(release 0\.1\.0, server"
        ):
            migrate(database.owner_dsn, oldest_release=RELEASE)


def test_the_command_names_the_older_process_and_the_next_step(database: Database, tmp_path: Path) -> None:
    environ = {
        "GRIDPROOF_DATA_DIR": str(tmp_path),
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_MIGRATION_DATABASE_URL": database.owner_dsn,
    }
    cli = CliRunner(env=environ)
    with older_session(database.app_dsn, "gridproof call slots"):
        checked = cli.invoke(main, ["migrate", "--check"])
        refused = cli.invoke(main, ["migrate", "--contract", RELEASE])
    assert checked.exit_code == 3, checked.output
    assert "older 'gridproof call slots' of gridproof_app (says no release" in checked.output
    assert refused.exit_code == 1
    assert "Stop them, or start them again" in refused.output
    assert cli.invoke(main, ["migrate", "--contract", RELEASE]).exit_code == 0

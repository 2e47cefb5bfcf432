"""The contract of DatabaseServer: its identity, which changes after a promotion."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.pool import check_idle
from adapters.postgres.operations.database_server import PostgresDatabaseServer
from application.ports.operations.database_server import DatabaseServer, ServerIdentity, Standbys
from application.ports.operations.unavailable import OperationsUnavailable
from tests.fakes.operations.database_server import FakeDatabaseServer
from tests.integration.event_store.stored_events import until
from tests.servers import PostgresServer, fresh_database, postgres_server


class Setting(NamedTuple):
    server: DatabaseServer
    stop: Callable[[], None]
    start: Callable[[], None]
    promote: Callable[[], None]
    """Of a stopped server: after its restart it is a promoted one."""


@contextmanager
def _fake() -> Iterator[Setting]:
    server = FakeDatabaseServer()

    def away(is_away: bool) -> None:
        server.is_away = is_away

    yield Setting(server, lambda: away(True), lambda: away(False), server.fail_over)


@contextmanager
def _postgres() -> Iterator[Setting]:
    """A server that recovers to the end of its log and then begins a new timeline, like a promoted
    standby."""
    with (
        postgres_server() as server,
        fresh_database(server) as database,
        ConnectionPool(database.app_dsn, min_size=1, timeout=1, check=check_idle, open=True) as pool,
    ):
        with server.embedded.connect() as connection:
            connection.execute("ALTER SYSTEM SET restore_command = 'false'")
        yield Setting(
            PostgresDatabaseServer(pool), server.kill, lambda: _start(server), lambda: _recover(server)
        )


def _start(server: PostgresServer) -> None:
    """Start the server and wait until it accepts writes. A promoted server accepts queries before that."""
    server.start()
    with server.embedded.connect() as connection:
        until(lambda: connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))


def _recover(server: PostgresServer) -> None:
    (server.embedded.working_folder() / "recovery.signal").touch(mode=0o666)


@pytest.fixture(params=[_fake, _postgres], ids=["fake", "postgres"])
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    with request.param() as found:
        yield found


def place_again(server: DatabaseServer) -> ServerIdentity:
    """The identity of the server, once connections succeed again."""
    found: list[ServerIdentity] = []

    def reports() -> bool:
        with suppress(OperationsUnavailable):
            found.append(server.place())
        return bool(found)

    until(reports)
    return found[0]


def test_the_identity_is_unchanged_after_a_restart(setting: Setting) -> None:
    before = setting.server.place()
    assert setting.server.place() == before
    assert setting.server.standbys() == Standbys(attached=0, synchronous=False)
    assert setting.server.replaced() == []
    setting.stop()
    with pytest.raises(OperationsUnavailable):
        setting.server.place()
    with pytest.raises(OperationsUnavailable):
        setting.server.standbys()
    assert setting.server.replaced() == []
    setting.start()
    assert place_again(setting.server) == before


def test_the_identity_changes_after_a_promotion(setting: Setting) -> None:
    before = setting.server.place()
    setting.stop()
    setting.promote()
    setting.start()
    after = place_again(setting.server)
    assert after != before
    assert after.timeline == before.timeline + 1

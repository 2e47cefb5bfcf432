"""The embedded servers from the outside: valid URLs, persistent data, independent folders."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest
import redis
from nats.js.api import StorageType, StreamConfig
from psycopg_pool import PoolTimeout

from adapters.embedded import EmbeddedServers
from adapters.embedded.errors import DataFolderInUse
from adapters.embedded.orphans import is_alive
from adapters.embedded.postgres import APP, OWNER, SUPERUSER, WORKER_ROLES
from tests.patience import ANSWER_S


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path_factory.mktemp("servers") / "data") as started:
        yield started


async def _write_stream(url: str, text: bytes) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="KEPT", subjects=["kept.>"], storage=StorageType.FILE))
    await stream.publish("kept.one", text)
    await client.close()


async def _read_stream(url: str) -> bytes | None:
    client = await nats.connect(url)
    message = await client.jetstream().get_last_msg("KEPT", "kept.one")
    await client.close()
    return message.data


def _write_everywhere(servers: EmbeddedServers, text: str) -> None:
    with psycopg.connect(servers.migration_database_url) as connection:
        connection.execute("CREATE SCHEMA gridproof")
        connection.execute("CREATE TABLE kept AS SELECT %s::text AS said", (text,))
    asyncio.run(_write_stream(servers.nats_url, text.encode()))
    redis.Redis.from_url(servers.redis_url).set("kept", text)


def _read_everywhere(servers: EmbeddedServers) -> list[str]:
    with psycopg.connect(servers.migration_database_url) as connection:
        row = connection.execute("SELECT said FROM gridproof.kept").fetchone()
    said = asyncio.run(_read_stream(servers.nats_url))
    cached = redis.Redis.from_url(servers.redis_url).get("kept")
    assert row is not None
    assert said is not None
    assert isinstance(cached, bytes)
    return [row[0], said.decode(), cached.decode()]


def test_a_restart_keeps_the_data_and_the_passwords(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path) as servers:
        passwords = [url.split("@")[0] for url in (servers.database_url, servers.nats_url, servers.redis_url)]
        _write_everywhere(servers, "still here")
    with EmbeddedServers(tmp_path) as servers:
        assert _read_everywhere(servers) == ["still here"] * 3
        assert passwords == [
            url.split("@")[0] for url in (servers.database_url, servers.nats_url, servers.redis_url)
        ]


def test_stop_leaves_no_process(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path)
    servers.start()
    pids = [server.pid for server in servers.running]
    assert all(pid is not None and is_alive(pid) for pid in pids)
    servers.stop()
    servers.stop()
    assert [pid for pid in pids if pid is not None and is_alive(pid)] == []


def test_two_folders_side_by_side_do_not_mix(servers: EmbeddedServers, tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path) as second:
        ports = [
            port for one in (servers, second) for server in one.running for port in server.ports.values()
        ]
        assert len(set(ports)) == len(ports) == 8
        _write_everywhere(second, "second")
        with psycopg.connect(servers.migration_database_url) as connection:
            row = connection.execute("SELECT to_regclass('gridproof.kept')").fetchone()
        assert row == (None,)
        assert redis.Redis.from_url(servers.redis_url).get("kept") is None


def test_a_folder_in_use_is_refused_with_the_pid_of_the_process_that_uses_it(
    servers: EmbeddedServers,
) -> None:
    second = EmbeddedServers(servers.data_dir)
    with pytest.raises(DataFolderInUse, match=f"process {os.getpid()}") as refused:
        second.start()
    assert refused.value.holder_pid == os.getpid()
    assert all(server.pid is not None for server in servers.running)


def test_only_the_requested_servers_start(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        assert [server.name for server in servers.running] == ["valkey"]
        assert redis.Redis.from_url(servers.redis_url).ping()
        with pytest.raises(RuntimeError, match="postgres was not asked for"):
            _ = servers.database_url


def test_secrets_are_readable_by_their_owner_only(servers: EmbeddedServers) -> None:
    files = [servers.data_dir / name for name in ("servers.json", "nats/nats.conf", "valkey/valkey.conf")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    command_lines = b"".join(
        Path(f"/proc/{server.pid}/cmdline").read_bytes() for server in servers.running
    ).decode()
    for user in ("postgres", "gridproof_app", "gridproof", "valkey"):
        assert servers.postgres.data.password(user) not in command_lines


def test_the_application_role_may_only_log_in(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute("SELECT current_user, current_setting('search_path')").fetchone()
        assert row == ("gridproof_app", "gridproof")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE SCHEMA mine")


def test_postgres_runs_with_the_expected_settings(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.admin_database_url) as connection:
        names = [
            "fsync",
            "max_connections",
            "listen_addresses",
            "jit",
            "password_encryption",
            "shared_buffers",
        ]
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    assert shown == [("on",), ("400",), ("127.0.0.1",), ("off",), ("scram-sha-256",), ("128MB",)]


def test_each_password_is_random_and_hashed_once_for_a_connection(servers: EmbeddedServers) -> None:
    """Repeated hashing protects only passwords that can be guessed."""
    with psycopg.connect(servers.admin_database_url) as connection:
        verifiers: dict[str, str] = dict(
            connection.execute(
                "SELECT rolname, split_part(rolpassword, ':', 1) FROM pg_authid WHERE rolpassword IS NOT NULL"
            ).fetchall()
        )
    assert verifiers == dict.fromkeys((SUPERUSER, OWNER, APP, *WORKER_ROLES), "SCRAM-SHA-256$1")
    passwords = {servers.postgres.data.password(role) for role in verifiers}
    assert len(passwords) == len(verifiers)
    assert min(map(len, passwords)) >= 32  # six bits each


def test_the_password_of_a_role_that_an_operator_makes_is_hashed_as_usual(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.admin_database_url) as connection:
        connection.execute("CREATE ROLE reports LOGIN PASSWORD 'summer2026'")
        verifier = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'reports'"
        ).fetchone()
        connection.rollback()
    assert verifier is not None
    assert verifier[0].startswith("SCRAM-SHA-256$4096:")


def test_servers_listen_on_loopback_only(servers: EmbeddedServers) -> None:
    ours = {f"{port:04X}" for server in servers.running for port in server.ports.values()}
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        local.split(":")[1]: local.split(":")[0] for _, local, _, state, *_ in sockets if state == "0A"
    }
    assert {listening.get(port) for port in ours} == {"0100007F"}
    six = [line.split()[1].split(":")[1] for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    assert ours.isdisjoint(six)


def test_a_killed_server_restarts_on_its_port_with_its_data(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.admin_database_url) as connection:
        connection.execute("CREATE TABLE acked AS SELECT 1 AS n")
    servers.postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(servers.admin_database_url)
    servers.postgres.start()
    with psycopg.connect(servers.admin_database_url) as connection:
        assert connection.execute("SELECT n FROM acked").fetchone() == (1,)


def test_a_callback_that_fails_does_not_end_the_restarts(tmp_path: Path) -> None:
    restarted: queue.Queue[int] = queue.Queue()

    def fail(name: str, returncode: int) -> None:
        restarted.put(returncode)
        raise PoolTimeout("the database takes no writes")

    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        servers.watch(fail, lambda failure: None)
        for _ in range(2):
            pid = servers.valkey.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert restarted.get(timeout=ANSWER_S) == -signal.SIGKILL


@pytest.mark.parametrize("what", ["appendonly.aof.manifest", "*.incr.aof"])
def test_a_cache_whose_files_a_power_cut_damaged_begins_anew(tmp_path: Path, what: str) -> None:
    """Of a file whose end was not synced, zeros are left."""
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        folder = servers.valkey.working_folder()
        redis.Redis.from_url(servers.redis_url).set("a", "b")
    (file,) = (folder / "appendonlydir").glob(what)
    with file.open("ab") as damaged:
        damaged.write(bytes(4096))
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        assert redis.Redis.from_url(servers.redis_url).get("a") is None
    assert (folder / "appendonlydir.damaged" / file.name).exists()

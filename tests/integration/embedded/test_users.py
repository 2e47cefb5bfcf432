"""The embedded servers start for any user: an ordinary user, or root by one of two methods."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.embedded import binaries
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.unprivileged import DropRootMethod, by_nobody, by_user_namespace
from tests.patience import START_S

_ROOT = Path(__file__).parents[3]
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has anything to drop")

_START_ALL = """
import json, os, sys
from pathlib import Path
import psycopg
from adapters.embedded import EmbeddedServers
with EmbeddedServers(Path(sys.argv[1])) as servers:
    with psycopg.connect(servers.database_url) as connection:
        user = connection.execute("SELECT current_user").fetchone()[0]
    owners = [os.stat(f"/proc/{server.pid}").st_uid for server in servers.running]
    print(json.dumps([os.geteuid(), user, owners, [server.name for server in servers.running]]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach; pytest's own folders belong to the user who runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="gridproof-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def _python_for(prefix: list[str]) -> str | None:
    """A Python of the same version that this user may run with the libraries. The one of root may be unreachable."""
    reads = f"import os, psycopg, msgspec; os.listdir({str(binaries.postgres_bindir())!r})"
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        command = [*prefix, "env", python, "-c", reads]
        done = subprocess.run(command, capture_output=True, check=False, cwd=_ROOT, env=_environment())
        if done.returncode == 0:
            return python
    return None


def _start_all(prefix: list[str], data_dir: Path, python: str = sys.executable) -> list[object]:
    done = subprocess.run(
        [*prefix, "env", python, "-c", _START_ALL, str(data_dir)],
        capture_output=True,
        timeout=START_S,
        check=False,
        cwd=_ROOT,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_the_servers_start_for_the_current_user(open_folder: Path) -> None:
    euid, user, owners, names = _start_all([], open_folder / "data")
    assert (euid, user, owners) == (os.geteuid(), "gridproof_app", [os.geteuid()] * 3)
    assert names == ["postgres", "nats", "valkey"]


def _in_a_namespace(uid: int) -> list[str]:
    prefix = ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are forbidden here")
    return prefix


def test_the_servers_start_for_an_ordinary_user_in_a_namespace(open_folder: Path) -> None:
    daemon = pwd.getpwnam("daemon").pw_uid
    euid, user, owners, _ = _start_all(_in_a_namespace(daemon), open_folder / "data")
    assert (euid, user, owners) == (daemon, "gridproof_app", [daemon] * 3)


def test_the_servers_start_for_a_user_without_a_name(open_folder: Path) -> None:
    """As in a container that was started with a numeric user id. initdb refuses such a user."""
    unknown = next(
        uid for uid in range(23_456, 60_000) if uid not in {entry.pw_uid for entry in pwd.getpwall()}
    )
    euid, user, _, names = _start_all(_in_a_namespace(unknown), open_folder / "data")
    assert (euid, user, names) == (unknown, "gridproof_app", ["postgres", "nats", "valkey"])


@_as_root
def test_the_servers_start_for_the_user_nobody(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    prefix = ["setpriv", "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups", "--"]
    python = _python_for(prefix)
    if python is None:
        pytest.skip(f"nobody may not read this Python, its libraries or {_ROOT}")
    data_dir = open_folder / "data"
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    euid, user, owners, _ = _start_all(prefix, data_dir, python)
    assert (euid, user, owners) == (nobody.pw_uid, "gridproof_app", [nobody.pw_uid] * 3)


@_as_root
@pytest.mark.parametrize(("method", "owner"), [(by_user_namespace, "root"), (by_nobody, "nobody")])
def test_root_starts_postgres_as_another_user(open_folder: Path, method: DropRootMethod, owner: str) -> None:
    (open_folder / "data").mkdir(mode=0o700)
    data = DataFolder.opened(open_folder / "data")
    server = EmbeddedPostgres(data, ways_to_drop_root=[method])
    for _ in range(2):  # a second start uses the data of the first one
        server.start()
        assert Path(f"/proc/{server.pid}/stat").stat().st_uid == pwd.getpwnam(owner).pw_uid
        with psycopg.connect(server.url("gridproof_app")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.stop()
    data.close()


@_as_root
def test_a_private_folder_of_root_needs_no_mode_change(open_folder: Path) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    _start_all([], private / "data")
    assert [folder.stat().st_mode & 0o777 for folder in (private, private / "data")] == [0o700, 0o700]

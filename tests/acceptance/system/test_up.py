"""`gridproof up`: the whole system in the foreground, ended by SIGTERM and by kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adapters.embedded.loopback import free_port
from application.operations.process_kinds import KINDS
from application.weather.requirements import NO_SERVICE
from tests.patience import ANSWER_S, END_S, START_S, whole_system

ROOT = Path(__file__).resolve().parents[3]
DISKS = {"disk", "postgresql disk", "nats disk"}


def environ_for(data_dir: Path, port: int) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return environ | {"GRIDPROOF_DATA_DIR": str(data_dir), "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{port}"}


def stderr_of(data_dir: Path) -> Path:
    return data_dir.with_suffix(".stderr")


@contextmanager
def up(data_dir: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`gridproof up`, once it has reported that it is ready."""
    with whole_system():
        with stderr_of(data_dir).open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "interfaces.cli", "up"],
                cwd=ROOT,
                env=environ_for(data_dir, port),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready http://127.0.0.1:{port}\n"
            yield process
        finally:
            process.kill()
            process.wait()


def command(data_dir: Path, port: int | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`port`: None to leave it to the addresses that `up` has saved."""
    environ = environ_for(data_dir, port or 0)
    if port is None:
        del environ["GRIDPROOF_HTTP_BIND"]
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def gridproof(data_dir: Path, port: int, *arguments: str) -> str:
    result = command(data_dir, port, *arguments)
    result.check_returncode()
    return result.stdout


def left_over(data_dir: Path) -> list[str]:
    """Processes that still use the data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                told = f"{(entry / 'cwd').readlink()} {(entry / 'cmdline').read_bytes()!r}"
                settings = (entry / "environ").read_bytes()
                if str(data_dir) in told or str(data_dir).encode() in settings:
                    found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
    return found


def readable_by_others(data_dir: Path) -> list[str]:
    """What group or others have a right to, in the data folder of a running system."""
    found = []
    for path in (data_dir, *data_dir.rglob("*")):
        with suppress(FileNotFoundError):  # servers remove files meanwhile
            if not path.is_symlink() and path.lstat().st_mode & 0o066:
                found.append(str(path))
    return found


def worker_environs(parent: int) -> dict[str, bytes]:
    """The environment of each worker process, by its arguments."""
    environs = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f"PPid:\t{parent}\n" in (entry / "status").read_text():
                arguments = (entry / "cmdline").read_bytes()
                if b"\0worker\0" in arguments:
                    environs[f"{entry.name} {arguments!r}"] = (entry / "environ").read_bytes()
    return environs


def nothing_left(data_dir: Path) -> None:
    deadline = time.monotonic() + END_S
    while (found := left_over(data_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == []


def wait_until_ready(port: int, *, dependencies: int) -> None:
    """A probe that takes over 2 s on a busy machine says that its server is away."""
    deadline = time.monotonic() + ANSWER_S
    found: dict[str, Any] = {}
    while (found.get("status"), len(found.get("system", ()))) != ("ready", dependencies):
        assert time.monotonic() < deadline, found
        with (
            suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=ANSWER_S) as answer,
        ):
            found = json.load(answer)


def test_up_answers_and_exits_cleanly_and_its_data_survives_a_restart(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    with up(data_dir, port) as process:
        wait_until_ready(port, dependencies=12)
        assert NO_SERVICE in stderr_of(data_dir).read_text().splitlines()
        key_file = data_dir / "admin.key"
        assert key_file.stat().st_mode & 0o777 == 0o600
        listing = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/facilities",
            headers={"Authorization": f"Bearer {key_file.read_text().strip()}"},
        )
        with urllib.request.urlopen(listing, timeout=ANSWER_S) as answer:  # noqa: S310 - our own address
            assert json.load(answer)["items"] == []
        made = json.loads(gridproof(data_dir, port, "keys", "create", "--role", "operator", "--json"))
        assert readable_by_others(data_dir) == []
        owner = json.loads((data_dir / "servers.json").read_text())["passwords"]["gridproof_owner"]
        environs = worker_environs(process.pid)
        assert len(environs) >= sum(kind.count for kind in KINDS)
        assert [name for name, environ in environs.items() if owner.encode() in environ] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=END_S) == 0
    nothing_left(data_dir)
    with up(data_dir, port):
        assert made["key_id"] in gridproof(data_dir, port, "keys", "list", "--json")


def test_kill_9_of_up_leaves_no_process_and_it_starts_again(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    with up(data_dir, port) as process:
        process.kill()
        process.wait()
        nothing_left(data_dir)
    for arguments, exit_code in ((["facilities", "list"], 1), (["doctor"], 3)):
        answer = command(data_dir, port, *arguments)
        assert (answer.returncode, "Traceback" in answer.stderr) == (exit_code, False), answer.stderr
        assert f"`gridproof up` does not run in {data_dir}: start it there" in answer.stderr
    with up(data_dir, port):
        # What was recorded before the kill may have waited long for its checkpoint.
        states = wait_for_states(data_dir, lambda states: states["ledger"] != "wrong")
        # The disk of the machine that runs the tests may be full.
        assert {name for name, state in states.items() if state == "wrong"} <= DISKS
        assert states["web"] == "ok"


def wait_for_states(data_dir: Path, as_wanted: Callable[[Mapping[str, str]], bool]) -> dict[str, str]:
    """What `doctor` says of each check, once it is as wanted."""
    deadline = time.monotonic() + START_S
    while True:
        answer = command(data_dir, None, "doctor", "--json")
        states = {one["check"]: one["state"] for one in json.loads(answer.stdout)["checks"]}
        if as_wanted(states):
            return states
        assert time.monotonic() < deadline, answer.stdout
        time.sleep(0.5)


def test_up_refuses_a_port_that_is_taken_before_anything_starts(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        refused = refused_up(data_dir, port)

    assert refused.stdout == ""
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert "GRIDPROOF_HTTP_BIND" in refused.stderr
    assert not data_dir.exists()


def test_up_names_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/gridproof")):
        refused = refused_up(data_dir, free_port())

        assert str(data_dir) in refused.stderr
        assert "GRIDPROOF_DATA_DIR" in refused.stderr
        assert "Traceback" not in refused.stderr


def refused_up(data_dir: Path, port: int) -> subprocess.CompletedProcess[str]:
    refused = command(data_dir, port, "up")
    assert refused.returncode == 1, refused.stderr
    return refused

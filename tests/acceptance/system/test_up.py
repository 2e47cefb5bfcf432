"""`gridproof up`: the whole system in the foreground, ended by SIGTERM and by kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from application.weather.requirements import NO_SERVICE

ROOT = Path(__file__).resolve().parents[3]
WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environ_for(data_dir: Path, port: int) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return environ | {"GRIDPROOF_DATA_DIR": str(data_dir), "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{port}"}


def stderr_of(data_dir: Path) -> Path:
    return data_dir.with_suffix(".stderr")


@contextmanager
def up(data_dir: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`gridproof up`, once it has reported that it is ready."""
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


def gridproof(data_dir: Path, port: int, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", *arguments],
        cwd=ROOT,
        env=environ_for(data_dir, port),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    ).stdout


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
    deadline = time.monotonic() + WITHIN_S
    while (found := left_over(data_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == []


def test_up_answers_and_exits_cleanly_and_its_data_survives_a_restart(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    with up(data_dir, port) as process:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
            assert json.load(answer)["status"] == "ready"
        assert NO_SERVICE in stderr_of(data_dir).read_text().splitlines()
        key_file = data_dir / "admin.key"
        assert key_file.stat().st_mode & 0o777 == 0o600
        listing = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/facilities",
            headers={"Authorization": f"Bearer {key_file.read_text().strip()}"},
        )
        with urllib.request.urlopen(listing, timeout=10) as answer:  # noqa: S310 - our own address
            assert json.load(answer)["items"] == []
        made = json.loads(gridproof(data_dir, port, "keys", "create", "--role", "operator", "--json"))
        assert readable_by_others(data_dir) == []
        owner = json.loads((data_dir / "servers.json").read_text())["passwords"]["gridproof_owner"]
        environs = worker_environs(process.pid)
        assert len(environs) >= 11
        assert [name for name, environ in environs.items() if owner.encode() in environ] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=WITHIN_S) == 0
    nothing_left(data_dir)
    with up(data_dir, port):
        assert made["key_id"] in gridproof(data_dir, port, "keys", "list", "--json")


def test_kill_9_of_up_leaves_no_process_and_it_starts_again(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    with up(data_dir, port) as process:
        process.kill()
        process.wait()
        nothing_left(data_dir)
    with up(data_dir, port):
        assert gridproof(data_dir, port, "doctor")

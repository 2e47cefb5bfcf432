"""Processes that start while PostgreSQL is away wait for it, say so, and then work."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from adapters.embedded.loopback import free_port
from interfaces.bootstrap import servers as bootstrap_servers
from tests.patience import ANSWER_S, END_S
from tests.servers import fresh_database, postgres_server

WITHIN_S = 120.0
WAITS = "PostgreSQL does not answer; this process waits for it"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.1)


def status(url: str) -> tuple[int, str]:
    try:
        answer = httpx.get(url, timeout=ANSWER_S)
    except httpx.TransportError:
        return 0, ""
    return answer.status_code, str(answer.json().get("status"))


def test_web_and_workers_wait_for_a_server_that_starts_later(tmp_path: Path) -> None:
    with postgres_server() as server, fresh_database(server) as database, ExitStack() as stack:
        server.kill()
        port, platform_port = free_port(), free_port()
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")},
            "GRIDPROOF_DATABASE_URL": database.app_dsn,
            "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{port}",
            "GRIDPROOF_HTTP_METRICS_BIND": f"127.0.0.1:{platform_port}",
            "GRIDPROOF_DATA_DIR": str(tmp_path),
        }
        logs = {name: tmp_path / f"{name}.log" for name in ("web", "compute")}
        processes = []
        for name, log in logs.items():
            output = stack.enter_context(log.open("wb"))
            arguments = [sys.executable, "-m", "interfaces.cli", "worker", name]
            one = subprocess.Popen(arguments, env=environ, stdout=output, stderr=subprocess.STDOUT)
            stack.callback(one.kill)
            processes.append(one)
        web = f"http://127.0.0.1:{port}"
        until(lambda: status(f"{web}/health") == (200, "starting"), "web says that it waits")
        platform = f"http://127.0.0.1:{platform_port}/health"
        until(lambda: status(platform) == (200, "starting"), "the platform is told too, and lets it wait")
        assert status(f"{web}/ready") == (503, "starting")
        assert status(f"{web}/api/facilities")[0] == 503
        until(lambda: all(WAITS in log.read_text() for log in logs.values()), "both say that they wait")
        server.start()
        until(lambda: status(f"{web}/health") == (200, "alive"), "web works")
        until(lambda: status(platform) == (200, "alive"), "the platform sees it")
        assert [process.poll() for process in processes] == [None, None]
        for process in processes:
            process.terminate()
        assert [process.wait(END_S) for process in processes] == [0, 0]
        password = database.app_dsn.partition("@")[0].rpartition(":")[2]
        assert all(password not in log.read_text() for log in logs.values())


def test_a_process_that_waits_ends_at_sigterm(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "GRIDPROOF_DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:1/gridproof",
        "GRIDPROOF_DATA_DIR": str(tmp_path),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        arguments = [sys.executable, "-m", "interfaces.cli", "worker", "compute"]
        with subprocess.Popen(arguments, env=environ, stdout=output, stderr=subprocess.STDOUT) as process:
            try:
                until(lambda: WAITS in log.read_text(), "it waits")
                process.terminate()
                assert process.wait(END_S) == 0
            finally:
                process.kill()
    assert "hunter2" not in log.read_text()


def test_the_wait_has_an_end_with_advice() -> None:
    import asyncio

    async def scenario() -> None:
        dsn = "postgresql://app@127.0.0.1:1/gridproof"
        await bootstrap_servers.wait_for_database(dsn, asyncio.Event(), within_s=0.2)

    with pytest.raises(bootstrap_servers.NoRunningSystem, match="GRIDPROOF_DATABASE_URL"):
        asyncio.run(scenario())

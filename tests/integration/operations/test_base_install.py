"""What `pip install gridproof` installs is enough for most processes; the others end with the extra to install."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from adapters.embedded.loopback import free_port
from application.operations.process_kinds import EXTRAS_OF_WORKERS
from application.operations.process_kinds import NAMES as WORKERS
from tests.base_install import ROOT
from tests.patience import ANSWER_S, END_S
from tests.servers import Database

WITHIN_S = 240.0
IN_THE_BASE_IMAGE = ("decide", "dispatch", "watch", "project")
"""Beside web."""


def program(*arguments: str, extras: Sequence[str] = ()) -> list[str]:
    chosen = [part for extra in extras for part in ("--extra", extra)]
    return [sys.executable, "-m", "tests.base_install", *chosen, "--", *arguments]


def ran(
    *arguments: str, extras: Sequence[str] = (), environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(*arguments, extras=extras), cwd=ROOT, env=os.environ | (environ or {}), capture_output=True,
        text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip


def answered(url: str) -> tuple[int, str]:
    try:
        answer = httpx.get(url, timeout=ANSWER_S)
    except httpx.TransportError as error:
        return 0, str(error)
    return answer.status_code, answer.text


def test_the_processes_of_the_base_image_become_ready(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    environ = {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_NATS_URL": nats_url,
        "GRIDPROOF_REDIS_URL": "redis://127.0.0.1:1",
        "GRIDPROOF_DATA_DIR": str(tmp_path),
    }
    web = f"127.0.0.1:{free_port()}"
    ports = {name: f"127.0.0.1:{free_port()}" for name in IN_THE_BASE_IMAGE}
    with ExitStack() as stack:
        running = {}
        for name in ("web", *IN_THE_BASE_IMAGE):
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            own = environ | {"GRIDPROOF_HTTP_BIND": web, "GRIDPROOF_WORKER_METRICS_BIND": ports.get(name, "")}
            process = subprocess.Popen(
                program("worker", name), cwd=ROOT, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running[name] = process
        deadline = time.monotonic() + WITHIN_S
        for name, address in {"web": web, **ports}.items():
            while (answer := answered(f"http://{address}/ready"))[0] != 200:
                assert running[name].poll() is None, (tmp_path / f"{name}.log").read_text()
                assert time.monotonic() < deadline, f"{name} is not ready: {answer}"
                time.sleep(0.2)
        for path in ("/", "/schema/openapi.json"):
            assert answered(f"http://{web}{path}")[0] == 200, path
        for process in running.values():
            process.terminate()
        assert {name: process.wait(END_S) for name, process in running.items()} == dict.fromkeys(running, 0)


@pytest.mark.parametrize("worker", sorted(EXTRAS_OF_WORKERS))
def test_a_worker_without_its_extra_ends_at_its_start_and_names_it(worker: str, tmp_path: Path) -> None:
    address = {"GRIDPROOF_DATABASE_URL": "postgresql://127.0.0.1:1/none", "GRIDPROOF_DATA_DIR": str(tmp_path)}
    outcome = ran("worker", worker, environ=address)
    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1] == (
        f"Error: the worker {worker} needs statsmodels, which is not installed: pip install 'gridproof[forecasting]'"
    )


def test_each_worker_of_the_base_image_needs_no_extra() -> None:
    assert set(IN_THE_BASE_IMAGE) | {"web"} <= set(WORKERS) - set(EXTRAS_OF_WORKERS)


@pytest.mark.parametrize(("extras", "wanted"), [((), "forecasting"), (("forecasting",), "embedded")])
def test_up_names_the_extra_that_it_lacks(extras: tuple[str, ...], wanted: str, tmp_path: Path) -> None:
    outcome = ran(
        "up",
        extras=extras,
        environ={"GRIDPROOF_DATA_DIR": str(tmp_path), "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{free_port()}"},
    )
    assert outcome.returncode == 1
    assert f"pip install 'gridproof[{wanted}]'" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_command_that_reads_a_file_names_the_extra(tmp_path: Path) -> None:
    readings = tmp_path / "load.csv"
    readings.write_text("facility,timestamp,load_kwh\nfac-001,2026-07-01T00:00:00Z,1\n")
    outcome = ran(
        "forecast", "predict", "--readings", str(readings), "--at", "2026-07-02T00:00:00Z", "--json"
    )
    assert outcome.returncode == 1
    assert "pip install 'gridproof[files]'" in outcome.stderr
    assert "Traceback" not in outcome.stderr

"""`gridproof simulate`: the simulated outside world as separate processes that exit on request."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from interfaces.simulators.journal import read_journal
from interfaces.simulators.utility import ReceivedCallback
from tests.acceptance.cli.terminal import PORTFOLIO
from tests.patience import ANSWER_S, END_S, START_S


@pytest.fixture
def portfolio(tmp_path: Path) -> Path:
    path = tmp_path / "portfolio.yaml"
    path.write_text(yaml.safe_dump(PORTFOLIO), encoding="utf-8")
    return path


@contextmanager
def gridproof(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process and the lines that it printed until it was ready; on SIGTERM it must exit with 0."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "interfaces.cli", "simulate", *arguments],
        env=environ | {"GRIDPROOF_DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
        lines.append(line.strip())
    try:
        yield process, lines
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=END_S)
    assert process.returncode == 0, errors


def test_a_world_prints_and_stores_its_addresses(tmp_path: Path, portfolio: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"portfolio": str(portfolio), "directory": str(tmp_path / "world")}))

    with gridproof(tmp_path, "world", "--spec", str(spec)) as (process, lines):
        addresses = json.loads((tmp_path / "world" / "world.json").read_text())
        assert addresses["pid"] == process.pid
        assert [line.split()[0] for line in lines] == ["bms", "utility", "weather", "callback"]
        wsdl = httpx.get(f"{addresses['bms_url']}/buildings/fac-001/bms?wsdl", timeout=ANSWER_S)
        assert wsdl.status_code in (200, 405)


def test_a_simulated_utility_accepts_callbacks_after_its_faults_and_nothing_else_runs(tmp_path: Path) -> None:
    with gridproof(tmp_path, "utility", "--fail-first", "1") as (_, [line]):
        name, url = line.split()
        statuses = [httpx.post(url, json={"kind": "started"}, timeout=ANSWER_S).status_code for _ in range(2)]

    assert (name, statuses) == ("callback", [503, 200])
    folder = tmp_path / "data" / "world"
    assert [callback.status for callback in read_journal(folder / "callbacks.jsonl", ReceivedCallback)] == [
        503,
        200,
    ]
    assert [file.name for file in folder.iterdir()] == ["callbacks.jsonl"]


def test_a_simulated_utility_with_a_secret_refuses_unsigned_callbacks(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whispered")
    with gridproof(tmp_path, "utility", "--secret", f"file:{secret}") as (_, [line]):
        assert httpx.post(line.split()[1], json={"kind": "started"}, timeout=ANSWER_S).status_code == 401


def test_bms_servers_answer_for_the_buildings_and_nothing_else_runs(tmp_path: Path, portfolio: Path) -> None:
    arguments = ["bms", "--portfolio", str(portfolio), "--directory", str(tmp_path / "buildings")]
    with gridproof(tmp_path, *arguments) as (_, [line]):
        name, url = line.split()
        wsdl = httpx.get(f"{url}/contract/building_control.wsdl", timeout=ANSWER_S)
        elsewhere = httpx.post(f"{url}/callbacks", json={}, timeout=ANSWER_S)
    assert (name, wsdl.status_code, elsewhere.status_code) == ("bms", 200, 404)
    assert [file.name for file in (tmp_path / "buildings").iterdir()] == ["bms-journal.jsonl"]


def test_the_weather_service_answers_for_any_cell_within_its_quota(tmp_path: Path) -> None:
    with gridproof(tmp_path, "weather", "--quota", "1") as (_, [line]):
        name, url = line.split()
        query = {"cell": "anywhere", "from": "2026-07-14T00:00:00Z", "to": "2026-07-14T06:00:00Z"}
        answers = [httpx.get(f"{url}/v1/forecast", params=query, timeout=ANSWER_S) for _ in range(2)]
    assert (name, [answer.status_code for answer in answers]) == ("weather", [200, 429])
    assert not (tmp_path / "data").exists()


def test_an_invalid_specification_is_refused_with_the_wrong_field(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"portfolio": "p.yaml", "directory": "d", "colour": "green"}')
    command = [sys.executable, "-m", "interfaces.cli", "simulate", "world", "--spec", str(spec)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)

    assert done.returncode == 1
    assert "colour" in done.stderr
    assert "Traceback" not in done.stderr

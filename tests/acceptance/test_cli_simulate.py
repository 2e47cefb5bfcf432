"""`gridproof simulate`: the outside world as processes of their own, which end when they are told to."""

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

from interfaces.simulators.utility import read_callbacks
from tests.acceptance.terminal import PORTFOLIO


@pytest.fixture
def portfolio(tmp_path: Path) -> Path:
    path = tmp_path / "portfolio.yaml"
    path.write_text(yaml.safe_dump(PORTFOLIO), encoding="utf-8")
    return path


@contextmanager
def gridproof(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process and the lines it printed until it was ready; it must end with 0 when it is asked to."""
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
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_a_world_says_where_everything_is(tmp_path: Path, portfolio: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"portfolio": str(portfolio), "directory": str(tmp_path / "world")}))

    with gridproof(tmp_path, "world", "--spec", str(spec)) as (process, lines):
        addresses = json.loads((tmp_path / "world" / "world.json").read_text())
        assert addresses["pid"] == process.pid
        assert [line.split()[0] for line in lines] == ["bms", "utility", "weather", "callback"]
        wsdl = httpx.get(f"{addresses['bms_url']}/buildings/fac-001/bms?wsdl", timeout=10)
        assert wsdl.status_code in (200, 405)


def test_a_utility_takes_callbacks_after_its_faults(tmp_path: Path, portfolio: Path) -> None:
    arguments = ["utility", "--portfolio", str(portfolio), "--fail-first", "1"]
    with gridproof(tmp_path, *arguments) as (_, [line]):
        url = line.split()[1]
        statuses = [httpx.post(url, json={"kind": "started"}, timeout=10).status_code for _ in range(2)]

    assert statuses == [503, 200]
    journal = tmp_path / "data" / "world" / "callbacks.jsonl"
    assert [callback.status for callback in read_callbacks(journal)] == [503, 200]


@pytest.mark.parametrize(("part", "address"), [("bms", "bms"), ("weather", "weather")])
def test_a_part_of_the_world_says_where_it_is(
    tmp_path: Path, portfolio: Path, part: str, address: str
) -> None:
    with gridproof(tmp_path, part, "--portfolio", str(portfolio)) as (_, [line]):
        name, url = line.split()
        assert name == address
        assert httpx.get(url, timeout=10).status_code < 500


def test_a_specification_that_cannot_be_run_says_what_to_change(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"portfolio": "p.yaml", "directory": "d", "colour": "green"}')
    command = [sys.executable, "-m", "interfaces.cli", "simulate", "world", "--spec", str(spec)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "colour" in done.stderr
    assert "Traceback" not in done.stderr

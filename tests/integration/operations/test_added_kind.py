"""A kind of process is added by a record and the module that wires it; no other file changes by hand.

The test adds one to a copy of the packages, and asks the copy.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from adapters.embedded.loopback import free_port
from tests.architecture.source_tree import PACKAGES, ROOT
from tests.patience import ANSWER_S
from tests.servers import Database

WITHIN_S = 60.0
RECORDS = "application/operations/process_kinds.py"
MODULE = "interfaces/bootstrap/kinds/sift.py"
WRITER = "tests/architecture/deployed_kinds.py"
RECORD = """\
    ProcessKind(
        name="sift",
        title="what a test adds",
        role="telemetry",
        sessions={"pool": 2, "locks": 1},
        acts=Leads(("sifting",)),
        processor=ProcessorUse(5, 0, 10, 0, 0, 0, 80),
        pods=Pods(2, cpu_m=150, memory_mib=160, memory_limit_mib=320),
        reaches=frozenset({"nats", "weather"}),
        needs=frozenset({"nats"}),
        telemetry_log=_CONSUME,
        secrets=frozenset({"weather_key"}),
        extras=("forecasting",),
    ),
)
WEB = """
WIRING = '''\
"""Wiring of the kind that a test adds."""

import asyncio

from interfaces.bootstrap.operations import locks_of
from interfaces.bootstrap.stores import Stores


async def run(stores: Stores, stop: asyncio.Event) -> None:
    async with locks_of(stores).held("sifting"):
        await stop.wait()
'''
FACTS = """
import json
from dataclasses import replace
from pathlib import Path
from adapters.embedded import EmbeddedServers
from adapters.embedded.broker_users import BROKER_USERS, published_by
from application.operations.report import LOCKS, worker_states
from application.operations.sizing.limits import limits_of
from application.operations.sizing.load import SystemLoad
from interfaces.bootstrap import inherited_environ, worker_settings
from interfaces.bootstrap.connection_budget import budget_of_worker, total_budget
from interfaces.bootstrap.offline import estimator
from interfaces.settings.settings import Settings
from interfaces.system.running_system import PROCESSES

settings = replace(
    Settings(), nats_url="nats://n", redis_url="redis://r", weather_key="env:WEATHER", ledger_key="env:LEDGER"
)
outside = EmbeddedServers(Path("nowhere"), postgres=False, nats=False, valkey=False)
of_sift = worker_settings(settings, outside, "sift")
size, load = estimator(settings), SystemLoad(facilities=200, meters=2_000)
print(json.dumps({
    "budget": budget_of_worker("sift", settings),
    "total": total_budget(settings),
    "addresses": [of_sift.nats_url, of_sift.redis_url],
    "environ": sorted(inherited_environ({"WEATHER": "w", "LEDGER": "l"}, settings, "sift")),
    "is broker user": "gridproof.sift" in BROKER_USERS,
    "publishes": published_by("sift"),
    "states": [
        [state.name, state.running] for held in ((), ("sifting",)) for state in worker_states({}, frozenset(held))
        if state.name == "sift"
    ],
    "locks": sorted(LOCKS),
    "size": [size(load).processes["sift"].count, size(load).processes["sift"].memory_mib],
    "limits": [limit.name for limit in limits_of(load, size)],
    "up": sorted(name for name, worker in PROCESSES.items() if worker == "sift"),
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and deploy/ with the added kind, and what writes deploy/."""
    folder = tmp_path_factory.mktemp("copy")
    for name in (*PACKAGES, "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / WRITER).parent.mkdir(parents=True)
    shutil.copy(ROOT / WRITER, folder / WRITER)
    records = (folder / RECORDS).read_text()
    assert records.count(")\nWEB = ") == 1
    (folder / RECORDS).write_text(records.replace(")\nWEB = ", RECORD))
    (folder / MODULE).write_text(WIRING)
    return folder


def environ(copy: Path, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return inherited | {"PYTHONPATH": str(copy)} | settings


def output_of(copy: Path, *arguments: str, accepted: Sequence[int] = (0,), **settings: str) -> str:
    outcome = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environ(copy, **settings), capture_output=True, text=True,
        timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert outcome.returncode in accepted, outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def facts(copy: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output_of(copy, "-c", FACTS))
    return found


def test_it_has_a_budget_credentials_and_rights_at_the_broker(facts: dict[str, Any]) -> None:
    from interfaces.bootstrap.connection_budget import total_budget
    from interfaces.settings.settings import Settings

    assert facts["budget"] == 3
    assert facts["total"] == total_budget(Settings()) + 3
    assert facts["addresses"] == ["nats://n", None]
    assert facts["environ"] == ["WEATHER"]
    assert facts["is broker user"]
    assert "$JS.ACK.TELEMETRY.>" in facts["publishes"]
    assert "telemetry.>" not in facts["publishes"]


def test_it_is_in_the_report_in_sizes_and_in_the_system_that_up_starts(facts: dict[str, Any]) -> None:
    assert facts["states"] == [["sift", False], ["sift", True]]
    assert "sifting" in facts["locks"]
    assert facts["size"] == [1, 80]
    assert "one process of sift" in facts["limits"]
    assert facts["up"] == ["sift"]


def test_the_writer_gives_it_a_unit_a_service_and_pods(copy: Path) -> None:
    before = {file: file.read_bytes() for file in (copy / "deploy").rglob("*") if file.is_file()}
    output_of(copy, WRITER, "--write")
    deploy = copy / "deploy"
    unit = (deploy / "systemd/gridproof-sift@.service").read_text()
    assert "gridproof worker sift\n" in unit
    assert "needs the extra forecasting" in unit
    service = yaml.safe_load((deploy / "compose/compose.yaml").read_text())["services"]["sift"]
    assert (service["command"], service["image"]) == (["worker", "sift"], "gridproof:measuring")
    about = yaml.safe_load((deploy / "chart/files/processes.yaml").read_text())["processes"]["sift"]
    assert about == {
        "image": "full",
        "role": "telemetry",
        "sessions": 3,
        "useful": 3,
        "reaches": ["postgresql", "nats", "weather", "collector"],
        "reads": ["GRIDPROOF_SNAPSHOT_KEY", "GRIDPROOF_WEATHER_KEY"],
    }
    values = yaml.safe_load((deploy / "chart/values.yaml").read_text())["processes"]
    assert values["sift"]["resources"]["requests"] == {"cpu": "150m", "memory": "160Mi"}
    schema = json.loads((deploy / "chart/values.schema.json").read_text())["properties"]["processes"]
    assert schema["properties"]["sift"]["properties"]["replicas"]["maximum"] == 3
    changed = {str(file.relative_to(deploy)) for file, text in before.items() if file.read_bytes() != text}
    assert changed == {
        "compose/compose.yaml",
        "chart/files/processes.yaml",
        "chart/values.yaml",
        "chart/values.schema.json",
        "values/minimal.yaml",
    }


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.1)


@contextmanager
def running(copy: Path, log: Path, **settings: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "interfaces.cli", "worker", "sift"],
            cwd=copy, env=environ(copy, **settings), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield
        finally:
            process.kill()
            process.wait()


def test_its_worker_runs_and_doctor_counts_it(copy: Path, database: Database, tmp_path: Path) -> None:
    port, no_server = free_port(), free_port()
    settings = {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_NATS_URL": f"nats://127.0.0.1:{no_server}",
        "GRIDPROOF_WORKER_METRICS_BIND": f"127.0.0.1:{port}",
        "GRIDPROOF_DATA_DIR": str(tmp_path),
    }
    log = tmp_path / "sift.log"

    def ready() -> dict[str, Any]:
        try:
            answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/ready", timeout=ANSWER_S).json()
        except httpx.TransportError:
            return {}
        return answer

    assert "sift" in output_of(copy, "-m", "interfaces.cli", "worker", "--help")
    with running(copy, log, **settings):
        until(lambda: "nats" in str(ready()), f"it serves its probes: {log}")
        assert ready()["status"] == "not_ready", "it needs NATS, as its record says"
        doctor = output_of(copy, "-m", "interfaces.cli", "doctor", "--json", accepted=(0, 3), **settings)
        checks = json.loads(doctor[doctor.index("{\n") :])["checks"]
        [connections] = [one for one in checks if one["check"] == "connections"]
        assert connections["facts"]["running"] == 3

"""The image is built without a network, stays within its size, and the demo runs in it without any privilege."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from adapters.embedded.loopback import free_port
from application.operations.process_kinds import EXTRAS_OF_WORKERS
from interfaces.extras import EXTRAS
from tests.image.engine import Engine, make_base, require_engine, run
from tests.patience import ANSWER_S, END_S
from tests.servers import Database

pytestmark = pytest.mark.slow
BASE_MB = 400
IN_THE_BASE_IMAGE = ("web", "decide", "dispatch", "watch", "project")
BASE_IMAGE, FULL_IMAGE = "localhost/gridproof:base", "localhost/gridproof:full"
ALL_EXTRAS = ",".join(EXTRAS)
WITHIN_S = 600.0


def report(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201 - a figure for docs/guides/deployment.md


@pytest.fixture(scope="module")
def engine(debian_command: Callable[[str], Path]) -> Iterator[Engine]:
    require_engine(debian_command)
    folder = Path(tempfile.mkdtemp(prefix="gp-image-"))
    engine = Engine(folder)
    make_base(folder / "base.tar")
    engine.import_base(folder / "base.tar")
    run("make", "wheels")
    yield engine
    engine.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def base_image(engine: Engine) -> float:
    """The seconds of its build."""
    run("make", "sbom", "EXTRAS=")
    return engine.build("", BASE_IMAGE)


@pytest.fixture(scope="module")
def full_image(engine: Engine) -> float:
    run("make", "sbom", f"EXTRAS={ALL_EXTRAS}")
    return engine.build(ALL_EXTRAS, FULL_IMAGE)


def test_the_base_image_stays_within_its_size(
    engine: Engine, base_image: float, capsys: pytest.CaptureFixture[str]
) -> None:
    megabytes = engine.size_bytes(BASE_IMAGE) / 1e6
    report(f"base image: {megabytes:.0f} MB, built in {base_image:.0f} s", capsys)
    assert megabytes <= BASE_MB
    assert engine.user(BASE_IMAGE) == "10001:10001"


def test_the_processes_of_the_base_image_become_ready(
    engine: Engine, base_image: float, database: Database, nats_url: str, tmp_path: Path
) -> None:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in IN_THE_BASE_IMAGE}
    with ExitStack() as stack:
        running = {}
        for name, address in addresses.items():
            settings = {
                "GRIDPROOF_DATABASE_URL": database.app_dsn,
                "GRIDPROOF_NATS_URL": nats_url,
                "GRIDPROOF_REDIS_URL": "redis://127.0.0.1:1",
                "GRIDPROOF_HTTP_BIND" if name == "web" else "GRIDPROOF_WORKER_METRICS_BIND": address,
            }
            options = ["--network=host", *(f"--env={key}={value}" for key, value in settings.items())]
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            process = engine.start(BASE_IMAGE, "worker", name, options=options, log=log)
            stack.callback(process.wait, 120)
            stack.callback(process.terminate)
            running[name] = process
        deadline = time.monotonic() + WITHIN_S
        for name, address in addresses.items():
            while not is_ready(address):
                assert running[name].poll() is None, (tmp_path / f"{name}.log").read_text()
                assert time.monotonic() < deadline, (tmp_path / f"{name}.log").read_text()
                time.sleep(0.5)
        for process in running.values():
            process.terminate()
        assert {name: process.wait(END_S) for name, process in running.items()} == dict.fromkeys(running, 0)


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/ready", timeout=ANSWER_S).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("worker", sorted(EXTRAS_OF_WORKERS))
def test_a_worker_of_another_image_names_its_extra(engine: Engine, base_image: float, worker: str) -> None:
    outcome = engine.ran(
        BASE_IMAGE, "worker", worker, options=["--env=GRIDPROOF_DATABASE_URL=postgresql://127.0.0.1:1/none"]
    )
    assert outcome.returncode == 1
    assert f"pip install 'gridproof[{EXTRAS_OF_WORKERS[worker][0]}]'" in outcome.stderr


def test_the_demo_succeeds_in_the_full_image(
    engine: Engine, full_image: float, capsys: pytest.CaptureFixture[str]
) -> None:
    megabytes = engine.size_bytes(FULL_IMAGE) / 1e6
    report(f"full image: {megabytes:.0f} MB, built in {full_image:.0f} s", capsys)
    outcome = engine.ran(FULL_IMAGE, "demo", "--facilities", "5", "--speed", "120", "--json")
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-4000:]
    document = json.loads(outcome.stdout)
    report(f"the demo in the container: {document['seconds']:.0f} s", capsys)
    assert document["ledger"]["verified"] is True
    assert document["duplicate_bms_commands"] == 0


def test_the_image_holds_its_own_list_of_packages(engine: Engine, full_image: float) -> None:
    outcome = engine.ran(
        FULL_IMAGE, "/usr/share/gridproof/sbom.json", options=["--network=none", "--entrypoint=cat"]
    )
    listed = {(one["name"].lower(), one["version"]) for one in json.loads(outcome.stdout)["components"]}
    script = "import importlib.metadata as m; print(*(f'{d.name}={d.version}' for d in m.distributions()), sep='\\n')"
    installed = engine.ran(
        FULL_IMAGE, "-c", script, options=["--network=none", "--entrypoint=/opt/gridproof/bin/python"]
    )
    found = {tuple(line.split("=", 1)) for line in installed.stdout.lower().splitlines()}
    assert {one for one in found if one[0] != "gridproof"} == listed


def test_the_root_file_system_is_read_only(engine: Engine, full_image: float) -> None:
    outcome = engine.ran(
        FULL_IMAGE, "/opt/gridproof/written", options=["--network=none", "--entrypoint=touch"]
    )
    assert outcome.returncode != 0
    assert "Read-only file system" in outcome.stderr or "Permission denied" in outcome.stderr

"""Each process starts with the arguments and variables of its manifest, on an empty database, becomes ready where the
manifest probes it, and needs no more memory for that than it requests."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.embedded import EmbeddedServers
from adapters.embedded.loopback import free_port
from tests.charts.rendering import Manifest, containers, of_kind, rendered
from tests.patience import ANSWER_S, START_S
from tests.servers import Database, PostgresServer

pytestmark = pytest.mark.charts

READY_WITHIN_S, STOP_WITHIN_S = 600.0, 240.0
GRIDPROOF = str(Path(sys.executable).with_name("gridproof"))
ROLES = {
    "web": "gridproof_web",
    "commands": "gridproof_commands",
    "telemetry": "gridproof_telemetry",
    "projections": "gridproof_projections",
    "application": "gridproof_app",
    "owner": "gridproof_owner",
}


def secrets_of(
    server: PostgresServer, database: Database, nats: EmbeddedServers, cache: EmbeddedServers, folder: Path
) -> dict[tuple[str, str], str]:
    """(name of a Secret, key) -> what it contains."""
    signing = Ed25519PrivateKey.generate()
    pem = signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    addresses = {
        ("gridproof-database", key): server.embedded.url(role, database.name, search_path=False)
        for key, role in ROLES.items()
    }
    return addresses | {
        ("gridproof-nats", "url"): nats.nats_url,
        ("gridproof-cache", "url"): cache.redis_url,
        ("gridproof-mqtt", "url"): nats.mqtt_url,
        ("gridproof-archive", "url"): (folder / "archive").as_uri(),
        ("gridproof-ledger", "ledger.key"): pem,
        ("gridproof-ledger", "snapshot.key"): "ab" * 32,
    }


def environment_of(
    container: Manifest, secrets: dict[tuple[str, str], str], folder: Path, ports: dict[str, int]
) -> dict[str, str]:
    """The variables, with what they refer to; on this machine alone, and in a folder of the process."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    for variable in container["env"]:
        if "value" in variable:
            value = str(variable["value"])
        else:
            key = variable["valueFrom"]["secretKeyRef"]
            value = secrets[key["name"], key["key"]]
        environment[variable["name"]] = value
    assert environment["GRIDPROOF_DATA_DIR"] == "/var/lib/gridproof"
    data = folder / container["name"]
    data.mkdir()
    environment["GRIDPROOF_DATA_DIR"] = str(data)
    for name, value in environment.items():
        if name.endswith("_BIND"):
            environment[name] = f"127.0.0.1:{ports[value.rpartition(':')[2]]}"
    return environment


@contextmanager
def stopping() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes by name; at the end all are stopped, beside each other."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        yield processes
        for process in processes.values():
            process.terminate()
        for name, process in processes.items():
            assert process.wait(STOP_WITHIN_S) == 0, name
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def start(arguments: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [GRIDPROOF, *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
        )


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    """The memory that the process holds."""
    (line,) = re.findall(
        r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE
    )
    return int(line) / 1024


def requested_mib(container: Manifest) -> float:
    requested = container["resources"]["requests"]["memory"]
    assert requested.endswith("Mi"), requested
    return float(requested.removesuffix("Mi"))


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=ANSWER_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def test_each_process_becomes_ready_where_its_manifest_probes_it(
    postgres_server: PostgresServer,
    empty_database: Database,
    nats_server: EmbeddedServers,
    valkey_server: EmbeddedServers,
    tmp_path: Path,
) -> None:
    options = ("--set-json", 'secrets.addresses.GRIDPROOF_REDIS_URL={"name":"gridproof-cache","key":"url"}')
    manifests = rendered("minimal", *options)
    secrets = secrets_of(postgres_server, empty_database, nats_server, valkey_server, tmp_path)
    (migration,) = [one for job in of_kind(manifests, "Job") for one in containers(job)]
    environment = environment_of(migration, secrets, tmp_path, {"9129": free_port()})
    migrated = subprocess.run(
        [GRIDPROOF, *migration["args"]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr

    waiting: dict[str, set[str]] = {}
    requested: dict[str, float] = {}
    with stopping() as processes:
        for container in (one for job in of_kind(manifests, "Deployment") for one in containers(job)):
            name, ports = container["name"], {"8080": free_port(), "9129": free_port()}
            environment = environment_of(container, secrets, tmp_path, ports)
            log, requested[name] = tmp_path / f"{name}.log", requested_mib(container)
            processes[name] = start(container["args"], environment, log)
            declared = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
            waiting[name] = {
                f"http://127.0.0.1:{ports[declared[probe['port']]]}{probe['path']}"
                for probe in (container[kind]["httpGet"] for kind in ("startupProbe", "readinessProbe"))
            }
        assert len(processes) == 9
        deadline = time.monotonic() + READY_WITHIN_S
        while waiting:
            for name, urls in list(waiting.items()):
                waiting[name] = {url for url in urls if not answers(url)}
                if not waiting[name]:
                    del waiting[name]
                assert processes[name].poll() is None, (tmp_path / f"{name}.log").read_text()
            if waiting:
                late = {name: (tmp_path / f"{name}.log").read_text()[-2_000:] for name in waiting}
                assert time.monotonic() < deadline, late
                time.sleep(0.25)
        used = {name: resident_mib(process) for name, process in processes.items()}
    print({name: f"{mib:.0f} of {requested[name]:.0f} MiB" for name, mib in used.items()})  # noqa: T201 - figures, with -s
    assert {name: mib for name, mib in used.items() if mib > requested[name]} == {}

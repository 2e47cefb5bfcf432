"""`gridproof up` on the restored data of an older release, and the simulated world that its buildings are in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest

from tests.servers import nats_server, valkey_server
from tests.upgrades.restored_release import RestoredRelease

ROOT = Path(__file__).resolve().parents[2]
SPEED = 120.0
WITHIN_S = 600.0
METER_CADENCE_S = 60.0
"""Of the clock."""
SECRET = {"GRIDPROOF_SECRET_DEMO_CALLBACKS": "made up"}
"""The portfolio of the demo names it."""
GENEROUS = {
    "GRIDPROOF_BMS_CONNECT_TIMEOUT_S": "600",
    "GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "1200",
    "GRIDPROOF_COMMAND_SLA_S": "3600",
}
"""Time limits in seconds of the clock, which runs fast."""


@dataclass(frozen=True)
class ResumedSystem:
    release: RestoredRelease
    url: str
    callback_url: str
    journal: Path
    """The actions of the buildings."""
    environ: dict[str, str]
    started_at: datetime

    def now(self) -> datetime:
        """The current time of its clock."""
        return self.release.dump.clock_at + (datetime.now(UTC) - self.started_at) * SPEED

    def request(
        self, role: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Send a request with the key that the older release created for that role."""
        headers = {"Authorization": f"Bearer {self.release.dump.key(role)}"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)

    def get(self, path: str) -> Any:
        answer = self.request("admin", "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def document(self, *arguments: object) -> Any:
        """The JSON document of a command that succeeds."""
        return self.release.document(*arguments, environ=self.environ)


def until(condition: Callable[[], bool], what: str, *, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.2)


@contextmanager
def resumed_system(release: RestoredRelease, folder: Path) -> Iterator[ResumedSystem]:
    """Start the system: its clock continues from the time of the dump, and its buildings have new addresses."""
    clock = {
        "epoch": release.dump.clock_at.isoformat(),
        "started_at": datetime.now(UTC).isoformat(),
        "speed": SPEED,
    }
    with (
        nats_server() as nats,
        valkey_server() as valkey,
        world_process(release, folder, clock, str(nats.meters_mqtt_url)) as world,
    ):
        environ = {
            **release.environ,
            **{f"GRIDPROOF_CLOCK_{name.upper()}": str(value) for name, value in clock.items()},
            **SECRET,
            **GENEROUS,
            "GRIDPROOF_NATS_URL": nats.nats_url,
            "GRIDPROOF_MQTT_URL": nats.mqtt_url,
            "GRIDPROOF_REDIS_URL": valkey.redis_url,
            "GRIDPROOF_WEATHER_URL": world["weather"],
            "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{_free_port()}",
            "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "true",
        }
        moved = moved_portfolio(world["bms"], release.data / "portfolio.json", folder / "portfolio.json")
        release.document("facilities", "import", moved, environ=environ)
        with _process(folder, environ, "up") as up:
            yield ResumedSystem(
                release=release,
                url=up["ready"],
                callback_url=world["callback"],
                journal=folder / "bms-journal.jsonl",
                environ=environ,
                started_at=datetime.fromisoformat(str(clock["started_at"])),
            )


@contextmanager
def world_process(
    release: RestoredRelease, folder: Path, clock: Mapping[str, object], mqtt_url: str
) -> Iterator[dict[str, str]]:
    """The simulated world, with its journals in `folder`; its addresses by name."""
    spec = {
        "portfolio": str(release.data / "portfolio.json"),
        "directory": str(folder),
        "clock": clock,
        "mqtt_url": mqtt_url,
        "meter_cadence_s": METER_CADENCE_S,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with _process(folder, SECRET, "simulate", "world", "--spec", str(folder / "spec.json")) as world:
        yield world


@contextmanager
def _process(folder: Path, environ: Mapping[str, str], *arguments: str) -> Iterator[dict[str, str]]:
    """`gridproof ARGUMENTS`, once it is ready; the lines that it printed until then, by their first word."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    messages = folder / f"{arguments[0]}.txt"
    with messages.open("w") as errors:
        started = subprocess.Popen(
            [sys.executable, "-u", "-m", "interfaces.cli", *arguments],
            cwd=ROOT,
            env=inherited | dict(environ),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    limit = Timer(WITHIN_S, started.kill)
    limit.start()
    try:
        assert started.stdout is not None
        printed: dict[str, str] = {}
        for line in started.stdout:
            word, _, rest = line.strip().partition(" ")
            printed[word.rstrip(";")] = rest
            if "ready" in printed:
                break
        if "ready" not in printed:
            pytest.fail(f"gridproof {arguments[0]} ended:\n{messages.read_text()}")
        limit.cancel()
        yield printed
    finally:
        limit.cancel()
        started.terminate()
        try:
            started.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()


def moved_portfolio(bms_url: str, portfolio: Path, moved: Path) -> Path:
    """A copy of the portfolio whose buildings are at `bms_url`."""
    content = json.loads(portfolio.read_text())
    for facility in content["facilities"]:
        facility["bms"]["address"] = f"{bms_url}/buildings/{facility['facility_id']}/bms"
    moved.write_text(json.dumps(content))
    return moved


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

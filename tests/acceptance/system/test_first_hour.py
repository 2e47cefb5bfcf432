"""docs/guides/first-hour.md: its blocks, run in their order in one shell, settle and prove a DR event.

The examples with curl of docs/guides/api.md are run on the same system.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.debian_packages import debian_command_path
from tests.patience import RUN_S, whole_system

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs/guides/first-hour.md"
API = ROOT / "docs/guides/api.md"
PORTS = range(8080, 8084)
"""As the guide says: of the API, the weather, the BMSs and the receiver."""
COMMANDS = ("bash", "curl", "openssl", "mosquitto_pub")


@dataclass(frozen=True)
class FirstHour:
    folder: Path
    said: str
    """What the blocks printed."""

    def document(self, name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / name).read_text())
        return found

    def callbacks(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / "callbacks.jsonl").read_text().splitlines()]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def free_ports() -> int:
    """The first of as many free ports in a row as the guide uses."""
    for first in range(20_000 + os.getpid() % 10_000, 60_000, len(PORTS)):
        with suppress(OSError):
            for port in range(first, first + len(PORTS)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


def without_clock(said: str) -> str:
    """What the blocks printed, without the trace of the meter and of the loops: it would hide what failed."""
    loops = re.compile(r"\+* (clock|date|awk|sleep|printf|read|utc|kill -0|grep|\(\() ?")
    return "\n".join(line for line in said.splitlines() if not loops.match(line))


def script() -> str:
    """The blocks of the guide, and before the last, which stops everything, those of api.md.

    The clock runs a third as fast as in the guide: beside other tests a building needs more than its seconds of there.
    """
    first = free_ports()
    *hour, stop = blocks(GUIDE)
    whole = "".join((*hour, *blocks(API), stop))
    assert "--speed 90" in whole
    whole = whole.replace("--speed 90", "--speed 30")
    return re.sub(r"\b808[0-3]\b", lambda port: str(int(port[0]) - PORTS[0] + first), whole)


@pytest.fixture(scope="module")
def first_hour(tmp_path_factory: pytest.TempPathFactory) -> FirstHour:
    for command in COMMANDS:
        debian_command_path(command, os.environ)
    home = tmp_path_factory.mktemp("first hour")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GRIDPROOF_") and not name.lower().endswith("_proxy")
    }
    environ |= {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}",
        "examples": str(ROOT / "docs/examples"),
        "COLUMNS": "200",
    }
    said = home / "said"
    with whole_system(), said.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-euxo", "pipefail", "-c", script()],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(RUN_S)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError):  # nothing is left, if all went well
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert status == 0, without_clock(said.read_text())[-10_000:]
    return FirstHour(home / "trial", said.read_text())


def test_the_dr_event_is_settled_with_what_the_meter_shed(first_hour: FirstHour) -> None:
    dr_event = first_hour.document("completed.json")
    assert (dr_event["status"], dr_event["outcome"]) == ("completed", "full")
    measured = next(one for one in first_hour.callbacks() if one["kind"] == "measured")
    delivered_kw = measured["delivered_kw"]
    assert isinstance(delivered_kw, float)
    assert 3 < delivered_kw < 45, "turned down by 30 kW, a moment after the start"


def test_the_receiver_got_each_callback_once_with_its_signature_checked(first_hour: FirstHour) -> None:
    kinds = [one["kind"] for one in first_hour.callbacks()]
    assert {"accepted", "started", "completed", "measured", "settled"} <= set(kinds)
    ids = [one["callback_id"] for one in first_hour.callbacks()]
    assert len(set(ids)) == len(ids)


def test_the_proof_holds_without_the_system(first_hour: FirstHour) -> None:
    assert (first_hour.folder / "proof.json").stat().st_size > 10_000
    checked = first_hour.said.partition("audit check")[2].partition("client notify")[0]
    assert "Proven: whoever has the key" in checked
    assert "all equal" in checked


def test_the_building_was_restored(first_hour: FirstHour) -> None:
    journal = (first_hour.folder / "data/world/bms-journal.jsonl").read_text()
    assert '"restore"' in journal


def test_the_python_client_cancels_what_it_requested(first_hour: FirstHour) -> None:
    said = first_hour.said.partition("client cancel")[2]
    assert '"outcome": "cancelled"' in said


def test_only_its_owner_may_read_the_folder(first_hour: FirstHour) -> None:
    found = [path for path in first_hour.folder.rglob("*") if not path.is_symlink()]
    assert len(found) > 10
    assert [path for path in found if path.stat().st_mode & 0o066] == []

"""A `gridproof demo --keep` after its DR event: the whole system continues at the demo's speed."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import httpx

from application.access.api_keys import ID_BYTES, ROLES, SECRET_BYTES, issue
from application.ports.access.api_keys import Role
from application.ports.clock import Clock
from interfaces.bootstrap import Stores, open_stores, resolve_addresses
from interfaces.settings.settings import read_settings
from interfaces.simulators.sample_portfolio import PROGRAM_ID, UTILITY_ID
from tests.demo_runs import ROOT, children_of
from tests.frozen_process import freeze
from tests.patience import ANSWER_S, END_S, RUN_S, whole_system

OWNED = "fac-003"
"""The facility of the key of an owner."""
WEBHOOK = "/webhooks/utility/dr-notification"
AT = re.compile(r"running at (http://\S+),")


@dataclass(frozen=True)
class RunningDemo:
    """`document` is the result that the demo printed."""

    url: str
    folder: Path
    process: int
    document: dict[str, Any]
    keys: dict[Role, str]
    """A key of each role."""
    clock: Clock
    """The demo's clock, which runs faster."""

    @property
    def dr_event(self) -> str:
        return str(self.document["dr_event_id"])

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers=self._header("admin"), timeout=ANSWER_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, event_id: str, *, in_hours: float) -> str:
        """Request half an hour of all active facilities, `in_hours` ahead on the demo's clock; returns the id."""
        starts_at = self.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=in_hours)
        serving = [row for row in self.get("/api/facilities?limit=500")["items"] if row["status"] == "active"]
        body = {
            "notification_id": f"n-{event_id}",
            "event_id": event_id,
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
            "target_reduction_kw": 20.0,
            "facility_ids": [row["facility_id"] for row in serving],
            "priority": 1,
        }
        answer = self.post_notification(body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["dr_event_id"])

    def post_notification(self, body: Mapping[str, object]) -> httpx.Response:
        return httpx.post(self.url + WEBHOOK, json=body, headers=self._header("utility"), timeout=ANSWER_S)

    @contextmanager
    def held(self, worker: str) -> Iterator[None]:
        """Stop the worker's processes during the block, without ending them."""
        found = children_of(self.process, worker)
        try:
            for process in found:
                freeze(process)
            yield
        finally:
            for process in found:
                with suppress(ProcessLookupError):  # it was killed meanwhile
                    os.kill(process, signal.SIGCONT)

    def kill(self, worker: str) -> None:
        for process in children_of(self.process, worker):
            os.kill(process, signal.SIGKILL)

    def _header(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"}


def issued_keys(stores: Stores) -> dict[Role, str]:
    return {
        role: issue(
            stores.api_keys(),
            role=role,
            utility_id=UTILITY_ID if role == "utility" else None,
            facility_id=OWNED if role == "owner" else None,
            at=stores.clock.now(),
            entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
        ).token
        for role in ROLES
    }


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {ANSWER_S:g} s: {what}"
        time.sleep(0.1)


@contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[RunningDemo]:
    """A demo that has completed its DR event; it must exit cleanly after the block."""
    data, said = folder / "data", folder / "said.txt"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    argv = [sys.executable, "-u", "-m", "interfaces.cli", "demo", "--keep", "--json", "--data-dir", str(data)]
    with whole_system():
        with said.open("w") as errors:
            demo = subprocess.Popen(
                [*argv, *arguments],
                cwd=ROOT,
                env=environ | {"COLUMNS": "400"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        patience = Timer(RUN_S, demo.kill)
        patience.start()
        try:
            assert demo.stdout is not None
            line = demo.stdout.readline()
            patience.cancel()
            assert line, said.read_text()
            document = json.loads(line)
            assert document["status"] == "completed", said.read_text()
            until(lambda: AT.search(said.read_text()) is not None, "the demo says where it runs")
            found = AT.search(said.read_text())
            assert found is not None
            settings = resolve_addresses(read_settings({"GRIDPROOF_DATA_DIR": str(data)}))
            with closing(open_stores(settings, pool_size=1)) as stores:
                keys, clock = issued_keys(stores), stores.clock
            yield RunningDemo(found[1], data, demo.pid, document, keys, clock)
        finally:
            patience.cancel()
            demo.terminate()
            demo.communicate(timeout=END_S)

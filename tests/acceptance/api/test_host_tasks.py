"""What the page asks of the host: logins of meters, and the import of a file of past readings, over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from gmqtt import Client
from gmqtt.mqtt.constants import MQTTv311
from litestar.testing import TestClient

from adapters.embedded import EmbeddedServers
from adapters.embedded.meter_logins import logins_in
from application.access.api_keys import issue
from interfaces.bootstrap import Stores, open_stores
from interfaces.bootstrap.kinds.web import web_dependencies
from interfaces.settings.settings import Settings
from interfaces.system.host_worker import HostWorker
from interfaces.system.running_system import GRIDPROOF
from interfaces.web.app import create_app
from tests.acceptance.cli.terminal import Terminal
from tests.patience import ANSWER_S
from tests.servers import Database

WITHIN_S = 240.0
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=40)
DAY = 96


class Running(NamedTuple):
    terminal: Terminal
    data_dir: Path
    api: httpx.Client


@pytest.fixture
def running(database: Database, tmp_path: Path) -> Iterator[Running]:
    """The broker, the host's part of `gridproof up`, and the API over a real database."""
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    terminal.project()
    data_dir = tmp_path / "data"
    with EmbeddedServers(data_dir, postgres=False, valkey=False):
        settings = Settings(data_dir=data_dir, database_url=database.app_dsn)
        host = HostWorker(settings, GRIDPROOF, runs_broker=True)
        host.start()
        try:
            with closing(open_stores(settings, pool_size=2)) as stores, serving(stores) as api:
                until(lambda: api.get("/api/meter-logins").json()["is_managed"])
                yield Running(terminal, data_dir, api)
        finally:
            host.stop()


@contextmanager
def serving(stores: Stores) -> Iterator[httpx.Client]:
    made = issue(stores.api_keys(), role="admin", at=stores.clock.now(), entropy=os.urandom(38))
    with TestClient(create_app(web_dependencies(stores))) as client:
        client.headers["Authorization"] = f"Bearer {made.token}"
        yield client


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
    return found


def ended(api: httpx.Client, kind: str, task_id: str) -> dict[str, Any]:
    """The task, once it is done or refused."""

    def look() -> dict[str, Any] | None:
        task: dict[str, Any] = api.get(f"/api/{kind}/tasks/{task_id}").json()
        return task if task["state"] in ("done", "refused") else None

    found: dict[str, Any] = until(look)
    return found


def history(days: int, *, kwh: float = 10.0, facility_id: str = "fac-001") -> bytes:
    rows = (
        f"{facility_id},{(FIRST + timedelta(minutes=15 * n)).isoformat()},{kwh}" for n in range(DAY * days)
    )
    return "\n".join(["facility,timestamp,load_kwh", *rows, ""]).encode()


def uploaded(api: httpx.Client, content: bytes, name: str = "load.csv") -> dict[str, Any]:
    answer = api.post("/api/history/uploads", params={"name": name}, content=content)
    assert answer.status_code == 202, answer.text
    return ended(api, "history", answer.json()["task_id"])


def imported(api: httpx.Client, task_id: str) -> dict[str, Any]:
    answer = api.post("/api/history/imports", json={"task_id": task_id})
    assert answer.status_code == 202, answer.text
    return ended(api, "history", answer.json()["task_id"])


async def may_log_in(port: int, user: str, password: str) -> bool:
    client = Client(f"meter-{user}")
    client.set_config({"reconnect_retries": 0})
    client.set_auth_credentials(user, password)
    try:
        await asyncio.wait_for(client.connect("127.0.0.1", port, version=MQTTv311), ANSWER_S)
    except Exception:  # noqa: BLE001 - gmqtt raises an error of its own for each refusal
        return False
    await client.disconnect()
    return True


def test_a_login_of_the_page_works_and_its_password_is_stored_nowhere(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    api = running.api
    made = api.post("/api/meter-logins", json={"facility_id": "fac-001"})
    assert (made.status_code, made.headers["cache-control"]) == (202, "no-store")
    new = made.json()
    assert ended(api, "meter-logins", new["task"]["task_id"])["state"] == "done"
    until(lambda: asyncio.run(may_log_in(new["mqtt_port"], new["user"], new["password"])))
    assert not asyncio.run(may_log_in(new["mqtt_port"], new["user"], new["password"] + "x"))
    assert api.get("/api/meter-logins").json()["items"] == [{"facility_id": "fac-001"}]
    again = api.post("/api/meter-logins", json={"facility_id": "fac-001"})
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)

    secret = new["password"].encode()
    for path in running.data_dir.rglob("*"):
        if path.is_file():
            with suppress(OSError):
                assert secret not in path.read_bytes(), path
    assert new["password"] not in everything_in(running.terminal.database)
    assert new["password"] not in capfd.readouterr().err
    assert logins_in(running.data_dir / "nats")["fac-001"].startswith("$2a$")

    revoked = api.delete("/api/meter-logins/fac-001").json()
    assert ended(api, "meter-logins", revoked["task_id"])["state"] == "done"
    until(lambda: not asyncio.run(may_log_in(new["mqtt_port"], new["user"], new["password"])))
    acts = running.terminal.document("audit", "administration", "--kind", "access")["acts"]
    told = [(act["what"], act["who"].partition(":")[0]) for act in acts if "login" in act["what"]]
    assert told == [
        ("login of the meters of facility fac-001 revoked", "admin"),
        ("login of the meters of facility fac-001 created", "admin"),
    ]


def test_a_file_is_checked_imported_and_taken_back(running: Running) -> None:
    api = running.api
    checked = uploaded(api, history(2))
    assert checked["state"] == "done", checked
    found = checked["result"]["checked"]
    assert (found["rows"], [one["facility_id"] for one in found["listed"]]) == (2 * DAY, ["fac-001"])
    assert found["counts"] == {"flat": 1}
    assert api.get("/api/history/imports").json()["items"] == []

    done = imported(api, checked["task_id"])
    assert done["state"] == "done", done
    assert done["result"]["imported"] == {"rows": 2 * DAY, "added": 2 * DAY, "changed": 0, "unchanged": 0}
    assert (done["phase"], done["done"], done["total"]) == ("storing", 2 * DAY, 2 * DAY)
    listing = api.get("/api/history/imports").json()
    assert [(one["state"], one["rows"], one["begun_by"][:6]) for one in listing["items"]] == [
        ("complete", 2 * DAY, "admin:")
    ]
    assert listing["task"]["task_id"] == done["task_id"]

    import_id = done["result"]["import_id"]
    asked = api.post(f"/api/history/imports/{import_id}/take-back", json={"reason": "of another year"})
    taken = ended(api, "history", asked.json()["task_id"])
    assert taken["result"]["taken_back"]["removed"] == 2 * DAY
    [one] = api.get("/api/history/imports").json()["items"]
    assert (one["state"], one["reason"]) == ("taken back", "of another year")


def test_a_file_that_the_command_refuses_is_refused_with_its_own_name(running: Running) -> None:
    stranger = uploaded(running.api, history(1, facility_id="stranger"), "north.csv")
    assert stranger["state"] == "refused"
    assert stranger["problem"].startswith("north.csv: 1 facility is not in the portfolio: stranger")
    refused = running.api.post("/api/history/imports", json={"task_id": stranger["task_id"]})
    assert refused.status_code == 409
    broken = uploaded(running.api, b"facility,timestamp,load_kwh\nfac-001,yesterday,1\n", "broken.csv")
    assert broken["problem"].startswith("broken.csv, line 2: ")


def test_an_import_whose_process_is_killed_is_done_by_another_one(running: Running) -> None:
    api = running.api
    checked = uploaded(api, history(20, kwh=7.0), "killed.csv")
    task_id = api.post("/api/history/imports", json={"task_id": checked["task_id"]}).json()["task_id"]
    child = until(lambda: process_of(task_id))
    os.kill(child, signal.SIGKILL)
    done = ended(api, "history", task_id)
    assert done["state"] == "done", done
    counts = done["result"]["imported"]
    assert counts["added"] + counts["changed"] + counts["unchanged"] == 20 * DAY
    items = api.get("/api/history/imports").json()["items"]
    assert [one["state"] for one in items if one["rows"] == 20 * DAY] == ["complete"]
    again = imported(api, uploaded(api, history(20, kwh=7.0), "killed.csv")["task_id"])
    assert again["result"]["imported"]["unchanged"] == 20 * DAY


def process_of(task_id: str) -> int | None:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and task_id.encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
    return None


def everything_in(database: Database) -> str:
    """Every row of every table, as text."""
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'gridproof'::regnamespace"
    with psycopg.connect(database.owner_dsn) as connection:
        names = [name for (name,) in connection.execute(tables)]
        return "".join(
            str(row) for name in names for row in connection.execute(f"SELECT t::text FROM {name} t".encode())
        )


def test_the_command_of_a_task_refuses_what_is_no_open_task(running: Running) -> None:
    asked = running.api.post("/api/history/uploads", params={"name": "x.csv"}, content=b"no columns")
    task_id = asked.json()["task_id"]
    assert ended(running.api, "history", task_id)["state"] == "refused"
    again = running.terminal.run("telemetry", "host-task", task_id)
    assert (again.exit_code, "no open task" in again.stderr) == (1, True)

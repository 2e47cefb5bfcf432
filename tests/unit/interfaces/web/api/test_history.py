"""Past readings over HTTP: a file is uploaded, checked and imported by the host, and taken back, by admins alone."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest

from application.ports.operations.host_tasks import CheckHistory, ImportHistory, TakeBackHistory
from application.ports.telemetry.imported_history import ImportSpan, NewImport
from interfaces.upload_spool import ARRIVES_WITHIN_S, UploadSpool
from interfaces.web.api.administration import history
from interfaces.web.host_sources import ANSWERS_WITHIN_S, HostSources
from tests.fakes.clock import FakeClock
from tests.fakes.operations.host_tasks import FakeHostTasks
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of

CSV = b"facility,timestamp,load_kwh\nfac-001,2026-07-01T00:00:00Z,10\n"
SPAN = ImportSpan(facility_id="fac-001", step_s=900, starts_at=NOW, ends_at=NOW, rows=1)
CHECKED = msgspec.Raw(b'{"checked":{"rows":1,"facilities":1,"listed":[],"counts":{},"findings":[]}}')


class EdgeBesideHost:
    def __init__(self, folder: Path, **others: Any) -> None:
        self.tasks = FakeHostTasks()
        self.tasks.show_state(mqtt_port=None, meter_logins=None)
        store = FakeTelemetryStore()
        self.imports = FakeImportedHistory(store, FakeTelemetryRollups(store, FakeClock()))
        self.folder = folder / "uploads"
        host = HostSources(
            tasks=self.tasks, imports=self.imports, spool=UploadSpool(folder), draw_password=cast("Any", None)
        )
        self.edge = Edge(others={"host": host, **others})
        self.admin = self.edge.key("admin")

    def upload(self, content: Any = CSV, **query: str) -> Any:
        with self.edge.client() as client:
            query_of = {"name": "load.csv", **query}
            return client.post("/api/history/uploads", params=query_of, content=content, headers=self.admin)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        with self.edge.client() as client:
            return client.request(method, f"/api/history{path}", json=body, headers=self.admin)

    def spooled(self) -> list[bytes]:
        return [path.read_bytes() for path in self.folder.iterdir()] if self.folder.is_dir() else []


@pytest.fixture
def beside_host(tmp_path: Path) -> EdgeBesideHost:
    return EdgeBesideHost(tmp_path)


def test_an_upload_is_spooled_privately_and_checked_by_the_host(beside_host: EdgeBesideHost) -> None:
    answer = beside_host.upload(facility_id="fac-001")
    assert (answer.status_code, answer.json()["state"], answer.json()["kind"]) == (
        202,
        "waiting",
        "check_history",
    )
    [task] = beside_host.tasks.tasks.values()
    assert isinstance(task.work, CheckHistory)
    file = task.work.file
    assert (file.name, file.size, file.facility_id) == ("load.csv", len(CSV), "fac-001")
    assert file.sha256 == hashlib.sha256(CSV).hexdigest()
    [path] = beside_host.folder.iterdir()
    assert (path.name, path.read_bytes()) == (f"{file.upload_id}.csv", CSV)
    assert (path.stat().st_mode & 0o777, beside_host.folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_checked_file_is_imported_on_request_and_its_progress_is_followed(
    beside_host: EdgeBesideHost,
) -> None:
    check = beside_host.upload().json()["task_id"]
    early = problem_of(beside_host.send("POST", "/imports", {"task_id": check}))
    assert early["status"] == 409
    beside_host.tasks.end(UUID(check), result=CHECKED)
    assert beside_host.send("GET", f"/tasks/{check}").json()["result"]["checked"]["rows"] == 1
    taken = beside_host.send("POST", "/imports", {"task_id": check}).json()
    task_id = UUID(taken["task_id"])
    assert isinstance(beside_host.tasks.tasks[task_id].work, ImportHistory)
    beside_host.tasks.begin(task_id)
    beside_host.tasks.note_progress(task_id, "storing", 50_000, 200_000)
    shown = beside_host.send("GET", f"/tasks/{task_id}").json()
    assert (shown["phase"], shown["done"], shown["total"]) == ("storing", 50_000, 200_000)
    assert beside_host.send("GET", "/imports").json()["task"] == shown


def test_an_import_that_was_refused_can_be_repeated_and_one_that_is_done_cannot(
    beside_host: EdgeBesideHost,
) -> None:
    check = UUID(beside_host.upload().json()["task_id"])
    beside_host.tasks.end(check, result=CHECKED)
    first = UUID(beside_host.send("POST", "/imports", {"task_id": str(check)}).json()["task_id"])
    beside_host.tasks.end(first, problem="its process ended 3 times")
    second = beside_host.send("POST", "/imports", {"task_id": str(first)})
    assert second.status_code == 202
    beside_host.tasks.end(UUID(second.json()["task_id"]))
    assert beside_host.send("POST", "/imports", {"task_id": second.json()["task_id"]}).status_code == 409
    assert beside_host.send("POST", "/imports", {"task_id": str(uuid4())}).status_code == 404


def test_imports_are_listed_and_one_is_taken_back_with_a_reason(beside_host: EdgeBesideHost) -> None:
    import_id = uuid4()
    new = NewImport(
        import_id=import_id, begun_at=NOW, begun_by="admin:k", file_sha256="ab" * 32, spans=(SPAN,)
    )
    beside_host.imports.begin(new)
    assert [one["import_id"] for one in beside_host.send("GET", "/imports").json()["items"]] == [
        str(import_id)
    ]
    for reason in ("", "   ", "x" * 1_001):
        assert (
            beside_host.send("POST", f"/imports/{import_id}/take-back", {"reason": reason}).status_code == 400
        )
    answer = beside_host.send("POST", f"/imports/{import_id}/take-back", {"reason": "another year"})
    assert answer.status_code == 202
    [task] = beside_host.tasks.tasks.values()
    assert task.work == TakeBackHistory(import_id=import_id, reason="another year")
    assert beside_host.send("POST", f"/imports/{uuid4()}/take-back", {"reason": "x"}).status_code == 404


def test_one_file_at_a_time_is_worked_on_and_what_nobody_imports_makes_room(
    beside_host: EdgeBesideHost,
) -> None:
    first = UUID(beside_host.upload().json()["task_id"])
    refused = problem_of(beside_host.upload(b"other"))
    assert (refused["status"], beside_host.spooled()) == (409, [CSV])
    beside_host.tasks.end(first, problem="no")
    [left] = beside_host.folder.iterdir()
    another = UUID(beside_host.upload(b"other").json()["task_id"])
    assert sorted(beside_host.spooled()) == sorted([CSV, b"other"]), (
        "one this young may belong to another process"
    )
    beside_host.tasks.end(another, problem="no")
    for path, age_s in ((left, ARRIVES_WITHIN_S + 1), (_other(beside_host, left), -3_600)):
        os.utime(path, (time.time() - age_s,) * 2)
    assert beside_host.upload(b"third").status_code == 202
    assert beside_host.spooled() == [b"third"], "an old one, and one of a clock that was put right"


def _other(beside_host: EdgeBesideHost, left: Path) -> Path:
    [path] = (one for one in beside_host.folder.iterdir() if one != left)
    return path


def test_a_file_that_is_too_large_leaves_nothing(
    beside_host: EdgeBesideHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = problem_of(beside_host.upload(b"x" * (history.MOST_BYTES + 1)))
    assert declared["status"] == 413
    monkeypatch.setattr(history, "MOST_BYTES", 1_000)
    pieces = iter([b"x" * 600, b"y" * 600])  # no length is declared
    assert problem_of(beside_host.upload(pieces))["status"] == 413
    assert (beside_host.spooled(), beside_host.tasks.tasks) == ([], {})


def test_a_file_that_is_too_slow_leaves_nothing(
    beside_host: EdgeBesideHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "UPLOAD_WITHIN_S", -1.0)
    assert problem_of(beside_host.upload())["status"] == 408
    assert (beside_host.spooled(), beside_host.tasks.tasks) == ([], {})


@pytest.mark.parametrize(
    "name", ["load.txt", "load", "../../etc/x.csv", "a/b.csv", "a\\b.csv", "a\x00.csv", ""]
)
def test_a_name_that_is_no_file_name_of_readings_is_refused(beside_host: EdgeBesideHost, name: str) -> None:
    assert beside_host.upload(name=name).status_code == 400
    assert beside_host.spooled() == []


def test_without_gridproof_up_the_command_is_named(beside_host: EdgeBesideHost) -> None:
    beside_host.tasks.age_s = ANSWERS_WITHIN_S + 1
    assert beside_host.send("GET", "/imports").json()["is_served"] is False
    refused = problem_of(beside_host.upload())
    assert (refused["status"], "gridproof telemetry import" in refused["detail"]) == (409, True)


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard", "utility", "owner"])
def test_no_other_role_uploads_imports_or_takes_back(beside_host: EdgeBesideHost, role: Any) -> None:
    scope = {"utility": {"utility": "city-power"}, "owner": {"facility": "fac-001"}}.get(role, {})
    beside_host.admin = beside_host.edge.key(role, **scope)
    assert beside_host.upload().status_code == 403
    for method, path in (
        ("GET", "/imports"),
        ("POST", "/imports"),
        ("GET", f"/tasks/{uuid4()}"),
        ("POST", f"/imports/{uuid4()}/take-back"),
    ):
        assert (
            beside_host.send(method, path, {"reason": "x"} if method == "POST" else None).status_code == 403
        )
    assert (beside_host.spooled(), beside_host.tasks.tasks) == ([], {})

"""An auditor reads the ledger's status over HTTP, downloads a proof and checks it on another machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result

from adapters.archive import ObjectArchive
from adapters.postgres.ledger.writer import LedgerWriter
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.signing import PUBLIC, signer_in
from application.ledger.checkpoints import checkpoint_name
from application.ports.access.api_keys import Role
from interfaces.cli.audit.check import check
from interfaces.workers.project.log_follower import LogFollower
from tests.acceptance.api.running_api import CLOCK, Door, day, notification, running_door
from tests.open_alerts import begin_alert, end_alert
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer, fresh_database

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    with fresh_database(postgres_server) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def door(database: Database, folder: Path) -> Iterator[Door]:
    """An API whose ledger is followed and sealed."""
    with running_door(database, data_dir=folder) as running, sealing(running, folder):
        yield running


@contextmanager
def sealing(door: Door, folder: Path) -> Iterator[None]:
    stop = threading.Event()
    writer = LedgerWriter(
        dsn=door.database.app_dsn,
        archive=ObjectArchive((folder / "archive").as_uri()),
        signer=signer_in(folder),
        alerts=PostgresAlerts(door.pool),
        clock=CLOCK,
        seal_every_s=0.05,
        heartbeat_s=0.05,
    )
    thread = threading.Thread(target=LogFollower(writer).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WITHIN_S)


def sealed_dr_event(door: Door, **changes: Any) -> str:
    """Post a DR event and wait until a checkpoint covers it; returns its id."""
    response = door.post(notification(**changes))
    assert response.status_code == 202, response.text
    deadline = time.monotonic() + WITHIN_S
    while door.get("/api/audit/ledger", "auditor").json()["logs"][0]["unsealed"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(response.json()["dr_event_id"])


def checked(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(check, [str(path), *arguments])


def test_the_ledger_status_has_the_checkpoint_its_key_and_both_logs(door: Door, folder: Path) -> None:
    sealed_dr_event(door, starts_at=day(20))
    allowed: tuple[Role, ...] = ("auditor", "operator", "admin")
    assert [door.get("/api/audit/ledger", role).status_code for role in allowed] == [200, 200, 200]
    status = door.get("/api/audit/ledger", "auditor").json()
    assert [log["log"] for log in status["logs"]] == ["demand-response", "forecasts"]
    log = status["logs"][0]
    assert (log["size"] > 0, log["sealed_to"], log["unsealed"]) == (True, log["head"], 0)
    checkpoint = status["checkpoint"]
    assert checkpoint["age_s"] >= 0
    assert checkpoint["public_key"] == signer_in(folder).public_key.hex()
    archived = folder / "archive" / checkpoint_name(checkpoint["number"])
    assert json.loads(archived.read_bytes()) == status["signed_checkpoint"]
    assert status["mismatches"] == []


def test_a_downloaded_proof_is_verified_without_the_system(door: Door, folder: Path, tmp_path: Path) -> None:
    dr_event_id = sealed_dr_event(door, starts_at=day(21))
    response = door.get(f"/api/audit/dr-events/{dr_event_id}/proof", "auditor")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    number = response.json()["signed_checkpoint"]["checkpoint"]["number"]
    disposition = response.headers["content-disposition"]
    assert disposition == f'attachment; filename="gridproof-proof-{dr_event_id}-{number}.json"'

    path = tmp_path / "proof.json"
    path.write_bytes(response.content)
    result = checked(path, "--public-key", str(folder / PUBLIC), "--json")
    assert result.exit_code == 0, result.output
    proven = json.loads(result.stdout)
    steps = door.get(f"/api/audit/dr-events/{dr_event_id}", "auditor").json()["steps"]
    assert (proven["holds"], proven["dr_event_id"]) == (True, dr_event_id)
    assert len(steps) > 2
    assert proven["domain_events"] == len(steps) + 2, "the program's are no steps of the DR event"
    assert proven["dispatches"] == 0


def test_whoever_keeps_a_checkpoint_can_ask_whether_the_ledger_extends_it(door: Door, tmp_path: Path) -> None:
    sealed_dr_event(door, starts_at=day(27))
    before = door.get("/api/audit/ledger", "auditor")
    number = before.json()["checkpoint"]["number"]
    sealed_dr_event(door, starts_at=day(28))
    response = door.get(f"/api/audit/ledger/consistency?from={number}", "operator")
    assert response.status_code == 200, response.text
    proof, held = tmp_path / "consistency.json", tmp_path / "ledger.json"
    proof.write_bytes(response.content)
    held.write_bytes(before.content)
    result = checked(proof, "--since", str(held))
    assert result.exit_code == 0, result.output
    assert f"extends checkpoint {number}" in result.output
    other = checked(proof, "--since", f"{number}:{'0' * 64}", "--json")
    assert (other.exit_code, json.loads(other.stdout)["holds"]) == (3, False)
    assert "two histories were signed" in other.output
    gone = door.get("/api/audit/ledger/consistency?from=100000", "auditor")
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/not-found")
    assert "the ledger was rolled back" in gone.json()["detail"]
    assert door.get("/api/audit/ledger/consistency?from=0", "auditor").status_code == 400


def test_a_proof_changed_in_transit_is_refused_with_the_position(door: Door, tmp_path: Path) -> None:
    dr_event_id = sealed_dr_event(door, starts_at=day(22))
    content = door.get(f"/api/audit/dr-events/{dr_event_id}/proof", "auditor").content
    path = tmp_path / "proof.json"
    for row in json.loads(content)["domain_events"]:
        said = rb"\"recorded_at\":\"2"
        at = content.index(said, content.index(b'"position":%d,' % row["position"])) + len(said)
        path.write_bytes(content[:at] + b"9" + content[at + 1 :])
        result = checked(path)
        assert result.exit_code == 3, result.output
        place = f"the domain event at position {row['position']} ({row['topic']})"
        assert f"DOES NOT HOLD: {place} is not what was sealed" in result.output


@pytest.mark.parametrize("role", ["utility", "dashboard"])
def test_other_roles_get_a_403_whether_or_not_the_dr_event_exists(door: Door, role: Role) -> None:
    dr_event_id = sealed_dr_event(door, starts_at=day(23 + (role == "dashboard")))
    utility = "util-1" if role == "utility" else None
    for path in ("ledger", f"dr-events/{dr_event_id}/proof", f"dr-events/{uuid4()}/proof"):
        refused = door.get(f"/api/audit/{path}", role, utility)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")


def test_operators_cannot_download_proofs(door: Door) -> None:
    dr_event_id = sealed_dr_event(door, starts_at=day(25))
    assert door.get(f"/api/audit/dr-events/{dr_event_id}/proof", "operator").status_code == 403


def test_an_unknown_dr_event_has_no_proof(door: Door) -> None:
    unknown = door.get(f"/api/audit/dr-events/{uuid4()}/proof", "auditor")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/not-found")
    assert door.get("/api/audit/dr-events/UTIL-1/proof", "auditor").status_code == 404


def test_the_openapi_document_describes_ledger_status_and_proof(door: Door) -> None:
    paths = httpx.get(f"{door.url}/schema/openapi.json", timeout=ANSWER_S).json()["paths"]
    assert "200" in paths["/api/audit/ledger"]["get"]["responses"]
    proof = paths["/api/audit/dr-events/{dr_event_id}/proof"]["get"]["responses"]["200"]
    assert "ProofDocument" in json.dumps(proof)


def test_without_a_checkpoint_there_is_no_proof_and_the_status_reports_it(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with fresh_database(postgres_server) as fresh, running_door(fresh, data_dir=tmp_path) as door:
        response = door.post(notification())
        dr_event_id = response.json()["dr_event_id"]
        refused = door.get(f"/api/audit/dr-events/{dr_event_id}/proof", "auditor")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-allowed-now")
        assert "nothing is sealed yet" in refused.json()["detail"]
        status = door.get("/api/audit/ledger", "auditor").json()
        assert (status["checkpoint"], status["signed_checkpoint"]) == (None, None)
        assert status["logs"][0]["unsealed"] > 0
        assert status["logs"][0]["oldest_unsealed_at"] is not None


def test_a_ledger_mismatch_is_reported_until_it_is_cleared(door: Door, database: Database) -> None:
    alerts = PostgresAlerts(door.pool)
    begin_alert(alerts, "ledger_mismatch", "verification", "changed at position 9", at=CLOCK.now())
    (mismatch,) = door.get("/api/audit/ledger", "operator").json()["mismatches"]
    assert (mismatch["found_by"], mismatch["detail"]) == ("verification", "changed at position 9")
    end_alert(alerts, "ledger_mismatch", "verification", at=CLOCK.now())
    assert door.get("/api/audit/ledger", "operator").json()["mismatches"] == []


def test_no_proof_is_made_of_a_log_that_was_tampered_with(door: Door, database: Database) -> None:
    dr_event_id = sealed_dr_event(door, starts_at=day(26))
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute(
            "UPDATE gridproof.demand_response_events SET state = state || ' ' "
            "WHERE originator_id = %s AND originator_version = 1",
            (dr_event_id,),
        )
    refused = door.get(f"/api/audit/dr-events/{dr_event_id}/proof", "auditor")
    assert refused.status_code == 409
    assert "the log is not what was signed: the domain event at position" in refused.json()["detail"]

"""Data that release 4cd57d2 wrote, used with the code of this tree. README.md describes how it was made.

The tests run in the order of an upgrade; those before the last only add to the dumped data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import PostgresServer
from tests.upgrades.dr_event_of_today import (
    FACILITIES,
    import_what_meters_missed,
    is_forecast_fully,
    is_over,
    requested_dr_event,
)
from tests.upgrades.restored_release import (
    Dump,
    RestoredRelease,
    covers,
    read_model_rows,
    restored,
    with_present_topics,
)
from tests.upgrades.resumed_system import ResumedSystem, resumed_system, until

FOLDER = Path(__file__).resolve().parent / "release_4cd57d2"
MOST_BYTES = 3_000_000
COMPLETED, BLOCKED, NEW = "UTIL-2026-0042", "UTIL-2026-0043", "UTIL-2026-0044"
IN_MAINTENANCE = "fac-005"
ALLOWED: dict[str, dict[str, int]] = {
    "utility": {"/api/dr-events": 200, "/api/portfolio": 403, "/api/operations": 403},
    "operator": {"/api/portfolio": 200, "/api/dead-letters": 200, "/api/operations": 200},
    "auditor": {"/api/portfolio": 200, "/api/audit/ledger": 200, "/api/operations": 403},
    "dashboard": {"/api/facilities/fac-001": 200, "/api/facilities/fac-002": 404, "/api/dr-events": 403},
    "admin": {"/api/portfolio": 200, "/api/audit/ledger": 200, "/api/operations": 200},
}
"""Role -> path -> the status of its answer."""


@pytest.fixture(scope="module")
def release(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestoredRelease]:
    """The restored and migrated release."""
    data = tmp_path_factory.mktemp("release") / "data"
    with restored(postgres_server, Dump(FOLDER), data) as found:
        found.document("migrate")
        yield found


def test_the_dump_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= MOST_BYTES


def test_the_migrated_schema_has_no_problems(release: RestoredRelease) -> None:
    """Contracting migrations stay pending until an operator allows them."""
    checked = json.loads(release.run("migrate", "--check", "--json").stdout)
    assert (checked["problems"], checked["ahead"]) == ([], [])
    assert set(checked["pending"]) == set(checked["needs"])


def test_rebuilt_read_models_equal_the_dumped_ones(release: RestoredRelease) -> None:
    """The version of every read model has changed since."""
    release.document("projections", "rebuild", "--all")
    after = {one["name"]: one for one in release.document("projections", "verify", "--all")["verified"]}
    for name, expected in release.dump.facts["read_models"].items():
        since = len(_standings(read_model_rows(release.database)[f"rm_{name}"]))
        assert covers(after[name], {**expected, "equal": True, "rows": expected["rows"] + since}), name
    rows = read_model_rows(release.database)
    assert any(release.rows.values())
    for table, dumped in release.rows.items():
        new = _standings(rows[table])
        expected = [_as_now(row) for row in with_present_topics(dumped)]
        assert covers([row for row in rows[table] if row not in new], expected), table


def _as_now(dumped: Any) -> Any:
    """A row of the release as this tree has it: the programs of a facility's state are a map by id, and the portfolio
    changes with more domain events, as it counts blocked dispatches too."""
    row = dumped.get("row", {})
    if row.get("type") == "state":
        state = {name: value for name, value in row["state"].items() if name != "programs"}
        state["enrolments"] = {program_id: {} for program_id in row["state"]["programs"]}
        return {**dumped, "row": {**row, "state": state}}
    if row.get("type") == "portfolio":
        return {"row": {name: value for name, value in row.items() if name != "changed_at"}}
    return dumped


def _standings(rows: list[Any]) -> list[Any]:
    """Internal rows that the release did not have: one for each open DR event with a plan."""
    return [one for one in rows if one.get("row", {}).get("type") == "standings"]


def test_the_ledger_verifies_with_its_archive(release: RestoredRelease) -> None:
    expected = release.dump.facts["ledger"]
    verified = release.document("audit", "verify")
    assert (verified["verified"], verified["findings"]) == (True, [])
    assert verified["public_key"] == expected["public_key"]
    assert verified["checkpoints"] == expected["checkpoints"]
    assert {log["log"]: log["domain_events"] for log in verified["logs"]} == {
        log["log"]: log["size"] for log in expected["logs"]
    }
    assert not any(log["unsealed"] for log in verified["logs"])
    newest = max((release.data / "archive" / "ledger" / "checkpoints").iterdir())
    heads = json.loads(newest.read_text())["checkpoint"]["heads"]
    assert covers(heads, [{name: log[name] for name in ("log", "size", "root")} for log in expected["logs"]])


@pytest.mark.parametrize("reference", [COMPLETED, BLOCKED])
def test_an_old_proof_verifies_and_a_new_one_has_the_same_domain_events(
    release: RestoredRelease, tmp_path: Path, reference: str
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(release.dump.unpacked(f"proof_{reference}.json"))
    release.run("audit", "prove", reference, "--out", new)
    checked = [
        release.document("audit", "check", proof, "--public-key", release.data / "ledger.pub")
        for proof in (old, new)
    ]
    assert [proven["holds"] for proven in checked] == [True, True]
    assert checked[0]["domain_events"] == checked[1]["domain_events"] > 0
    assert json.loads(old.read_text())["domain_events"] == json.loads(new.read_text())["domain_events"]


def test_a_changed_proof_does_not_verify(release: RestoredRelease, tmp_path: Path) -> None:
    proof = tmp_path / "changed.json"
    proof.write_bytes(
        release.dump.unpacked(f"proof_{COMPLETED}.json").replace(b'"number":', b'"number":1', 1)
    )
    assert release.run("audit", "check", proof, "--json").exit_code == 3


def test_the_raw_archive_is_intact(release: RestoredRelease) -> None:
    assert release.run("telemetry", "archive", "verify").exit_code == 0


def test_the_command_line_shows_the_same_data_as_the_release(release: RestoredRelease) -> None:
    facts = release.dump.facts
    assert covers(release.document("keys", "list")["keys"], facts["listed_keys"])
    assert {key["role"] for key in facts["listed_keys"]} == set(ALLOWED)
    letters = release.document("dead-letters", "list")["dead_letters"]
    assert covers(letters, facts["dead_letters"])
    assert {letter["status"] for letter in letters} == {"open"}
    for letter in letters:
        assert release.document("dead-letters", "show", letter["dead_letter_id"])["body"]
    assert covers(release.document("dr-events", "list")["dr_events"], facts["dr_events"])
    dispatches = release.document("dr-events", "show", BLOCKED)["dispatches"]
    assert {one["facility_id"]: one["status"] for one in dispatches} == dict.fromkeys(
        facts["blocked"]["facility_ids"], "blocked"
    )


def test_importing_the_portfolio_of_the_release_again_records_nothing(release: RestoredRelease) -> None:
    head = release.log_head()
    assert release.document("facilities", "import", release.data / "portfolio.json")["domain_events"] == 0
    assert release.log_head() == head


def test_a_contract_that_the_release_cannot_read_is_refused_before_anything_is_recorded(
    release: RestoredRelease, tmp_path: Path
) -> None:
    portfolio = json.loads((release.data / "portfolio.json").read_text())
    portfolio["programs"][0]["settlement"] = {"currency": "USD", "energy": {"rate": "0.35"}}
    file = tmp_path / "settled.json"
    file.write_text(json.dumps(portfolio))
    head = release.log_head()
    for flags in ([], ["--dry-run"]):
        refused = release.run("facilities", "import", file, *flags)
        assert refused.exit_code == 1
        assert "terms with settlement" in refused.stderr
        assert "gridproof migrate --contract 0.2" in refused.stderr
    assert release.log_head() == head


def test_imported_intervals_are_present(release: RestoredRelease) -> None:
    imported = release.dump.facts["imported"]
    found = release.document(
        "telemetry", "history", imported["facility_id"], "--from", imported["from"], "--to", imported["to"]
    )
    assert [step["kwh"] for step in found["steps"]] == imported["kwh"]
    assert sum(imported["kwh"]) > 0


@pytest.fixture(scope="module")
def system(release: RestoredRelease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResumedSystem]:
    with resumed_system(release, tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_every_key_still_has_its_role(system: ResumedSystem, role: str) -> None:
    begun = system.request(role, "POST", "/api/session")
    assert (begun.status_code, begun.json()["role"]) == (201, role)
    session = httpx.get(f"{system.url}/api/session", cookies=begun.cookies, timeout=60)
    assert (session.status_code, session.json()["role"]) == (200, role)
    for path, status in ALLOWED[role].items():
        assert system.request(role, "GET", path).status_code == status, path


def test_the_http_interface_gives_the_same_answers_as_the_release(system: ResumedSystem) -> None:
    for path, answer in system.release.dump.answers.items():
        assert covers(system.get(path), with_present_topics(answer)), path


def test_a_blocked_dispatch_is_overridden_and_a_dead_letter_discarded(system: ResumedSystem) -> None:
    blocked = system.release.dump.facts["blocked"]
    path, [facility_id, other] = f"/api/dr-events/{blocked['dr_event_id']}", blocked["facility_ids"]

    def statuses() -> dict[str, str]:
        return {row["facility_id"]: row["status"] for row in system.get(f"{path}/dispatches")["items"]}

    assert statuses() == {facility_id: "blocked", other: "blocked"}
    body = {"facility_id": facility_id, "reason": "the meter is exchanged"}
    assert system.request("auditor", "POST", f"{path}/overrides", body).status_code == 403
    assert system.request("operator", "POST", f"{path}/overrides", body).status_code == 202
    until(lambda: statuses() == {facility_id: "planned", other: "blocked"}, "the dispatch goes on")

    letters = system.get("/api/dead-letters")["items"]
    letter = f"/api/dead-letters/{letters[0]['dead_letter_id']}"
    answer = system.request("operator", "POST", f"{letter}/discard", {"reason": "done by hand"})
    assert answer.status_code == 200, answer.text
    assert system.get(letter)["status"] == "discarded"


def test_a_new_dr_event_completes_and_the_ledger_verifies(system: ResumedSystem, tmp_path: Path) -> None:
    body = {"action": "end"}
    path = f"/api/facilities/{IN_MAINTENANCE}/maintenance"
    assert system.request("operator", "POST", path, body).status_code == 200
    import_what_meters_missed(system, tmp_path / "missed.csv", since=system.release.dump.clock_at)
    until(lambda: all(map(partial(is_forecast_fully, system), FACILITIES)), "forecasts of full quality")

    path = requested_dr_event(system, NEW)
    until(lambda: is_over(system, path), "the DR event is completed, measured and reported")

    row, dispatches = system.get(path), system.get(f"{path}/dispatches")["items"]
    assert row["delivered_kw"] > 0
    assert {one["facility_id"]: one["status"] for one in dispatches} == dict.fromkeys(FACILITIES, "restored")
    assert {one["state"] for one in system.get(f"{path}/callbacks")["items"]} == {"delivered"}
    done = [json.loads(line) for line in system.journal.read_text().splitlines()]
    last = {(one["facility_id"], one["zone_id"]): one for one in done}
    assert {facility_id for facility_id, _ in last} == set(FACILITIES)
    assert not any(one["curtailed"] for one in last.values())

    def is_sealed() -> bool:
        verified = system.document("audit", "verify")
        assert verified["verified"], verified["findings"]
        return not any(log["unsealed"] for log in verified["logs"])

    until(is_sealed, "everything is sealed")
    proof = tmp_path / "proof.json"
    assert system.release.run("audit", "prove", NEW, "--out", proof, environ=system.environ).exit_code == 0
    assert system.document("audit", "check", proof)["holds"]
    assert all(one["equal"] for one in system.document("projections", "verify", "--all")["verified"])

"""An operator's commands for DR events and dead letters."""

import json
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.open_work import PostgresOpenWork
from application.callback import ParkedCallback
from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import (
    CancelDREvent,
    Judgement,
    JudgeNotification,
    PlanDREvent,
    RequestCallback,
)
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import DeadLetter
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from domain.dr_event import DREvent, Notice
from domain.event_sourcing.aggregate import DomainEvent
from domain.forecast import Forecast, cycle_start_of
from domain.telemetry.meter_reading import MeterReading
from interfaces.cli.audit.step_files import export_steps
from projections.audit.steps import AuditTrailRow
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import forecast
from tests.servers import Database

CLOCK = SystemClock()
CONTEXT = CommandContext(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=2),
    actor="utility:city-power",
    tenant="city-power",
    trace_id="0af7651916cd43dd8448eb211c80319c",
)


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


@pytest.fixture
def accepted(terminal: Terminal) -> UUID:
    """A DR event, UTIL-1, accepted for tomorrow."""
    terminal.import_portfolio()
    starts_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    notice = Notice(
        notification_id="n-1",
        modification_number=0,
        program_id="summer-peak",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=2),
        target_kw=60.0,
        facility_ids=("fac-001", "fac-002"),
        priority=1,
        callback_url="https://utility.example/callbacks",
    )
    judge = JudgeNotification(utility_id="city-power", utility_event_id="UTIL-1", notice=notice)
    judged: Judgement = handled(terminal, judge)
    assert judged.status == "accepted"
    terminal.project()
    return judged.dr_event_id


def handled(terminal: Terminal, command: msgspec.Struct, *known: Forecast) -> Any:
    forecasts = FakeForecastBook()
    for one in known:
        forecasts.note(one)
    with closing(PostgresEventStore(DemandResponse, terminal.database.app_dsn)) as store:
        return CommandBus(store, CLOCK, HANDLERS, forecasts=forecasts).handle(command, CONTEXT)


def recorded(terminal: Terminal, dr_event_id: UUID) -> list[DomainEvent]:
    with closing(PostgresEventStore(DemandResponse, terminal.database.app_dsn)) as store:
        entries = store.read_after(0, 1_000)
    return [entry.domain_event for entry in entries if entry.domain_event.originator_id == dr_event_id]


def letter(**fields: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "dead_letter_id": uuid4(),
        "queue": "callback",
        "subject": "city-power/7",
        "reason": "HTTP 404",
        "body": b"{}",
        "parked_at": datetime(2026, 7, 14, 21, 0, tzinfo=UTC),
    }
    return DeadLetter(**(given | fields))


# ------------------------------------------------------------------------------------------------- DR events


def test_dr_events_are_listed_and_shown_by_either_id(terminal: Terminal, accepted: UUID) -> None:
    [row] = terminal.document("dr-events", "list")["dr_events"]
    assert (row["dr_event_id"], row["status"]) == (str(accepted), "accepted")
    assert terminal.document("dr-events", "list", "--status", "active") == {"dr_events": [], "readiness": {}}

    for reference in ("UTIL-1", accepted):
        shown = terminal.document("dr-events", "show", reference)
        assert shown["dr_event"]["utility_event_id"] == "UTIL-1"
        assert shown["as_of"] is None
    assert "accepted" in terminal.run("dr-events", "show", "UTIL-1").stdout


def test_the_list_counts_the_facilities_that_are_blocked(terminal: Terminal, accepted: UUID) -> None:
    before = datetime.now(UTC).isoformat()
    degraded = (
        forecast(facility_id, at=cycle_start_of(CLOCK.now()), degraded=True)
        for facility_id in ("fac-001", "fac-002")
    )
    handled(terminal, PlanDREvent(dr_event_id=accepted), *degraded)
    terminal.project()
    counts = terminal.document("dr-events", "list")["readiness"][str(accepted)]
    assert counts == {"blocked": 2, "at_risk": 0, "dropped_out": 0}
    assert "2 blocked" in terminal.run("dr-events", "list", environ={"COLUMNS": "250"}).stdout
    assert terminal.document("dr-events", "list", "--as-of", before)["readiness"] == {}


def test_a_dr_event_is_shown_as_of_a_time_and_as_of_a_position(terminal: Terminal, accepted: UUID) -> None:
    before = datetime.now(UTC)
    assert terminal.run("dr-events", "cancel", "UTIL-1", "--reason", "by phone").exit_code == 0
    terminal.project()

    then = terminal.document("dr-events", "show", "UTIL-1", "--as-of", before.isoformat())
    now = terminal.document("dr-events", "show", "UTIL-1")

    assert (then["dr_event"]["status"], now["dr_event"]["status"]) == ("accepted", "cancelled")
    too_early = terminal.run("dr-events", "show", "UTIL-1", "--as-of", "2020-01-01T00:00:00Z")
    assert too_early.exit_code == 1

    position = terminal.document("audit", "replay", "UTIL-1", "--as-of", before.isoformat())["position"]
    by_position = terminal.document("dr-events", "show", "UTIL-1", "--as-of", position)
    assert {**by_position, "as_of": None} == {**then, "as_of": None}
    assert (
        terminal.document("audit", "replay", "UTIL-1", "--as-of", position)["dr_event"]["status"]
        == "accepted"
    )
    head = terminal.document("audit", "replay", "UTIL-1")["position"]
    assert terminal.document("dr-events", "show", "UTIL-1", "--as-of", head)["dr_event"] == now["dr_event"]
    [listed] = terminal.document("dr-events", "list", "--as-of", position)["dr_events"]
    assert listed == then["dr_event"]
    assert "accepted" in terminal.run("dr-events", "list", "--as-of", before.isoformat()).stdout
    ahead = terminal.run("dr-events", "show", "UTIL-1", "--as-of", head + 1)
    assert (ahead.exit_code, f"ends at position {head}" in ahead.stderr) == (1, True)
    reserved = terminal.document("facilities", "list", "--as-of", position)["facilities"]
    freed = terminal.document("facilities", "list")["facilities"]
    assert [len(row["reservations"]) for row in (reserved[0], freed[0])] == [1, 0]


def test_the_audit_trail_is_exported_to_files(terminal: Terminal, accepted: UUID) -> None:
    replayed = terminal.document("audit", "replay", "UTIL-1")
    told, head = replayed["steps"], replayed["position"]
    one, every = terminal.folder / "one", terminal.folder / "every"
    exported = terminal.document("audit", "export", "--dr-event", "UTIL-1", "--out", one)
    assert exported == {
        "steps": len(told),
        "up_to_position": head,
        "files": [str(one / "audit-steps.jsonl")],
    }
    lines = (one / "audit-steps.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == told

    assert terminal.run("audit", "export", "--format", "csv,parquet", "--out", every).exit_code == 0
    assert sorted(path.name for path in every.iterdir()) == ["audit-steps.csv", "audit-steps.parquet"]
    again = terminal.run("audit", "export", "--out", one)
    assert (again.exit_code, "another folder" in again.stderr) == (1, True)
    unknown = terminal.run("audit", "export", "--dr-event", UUID(int=1), "--out", terminal.folder / "none")
    assert unknown.exit_code == 1
    assert list((terminal.folder / "none").iterdir()) == []
    assert terminal.run("audit", "export", "--format", "xml", "--out", every).exit_code == 2


def test_an_export_ends_at_the_head_of_the_log_at_its_start(
    terminal: Terminal, accepted: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_while_it_is_cancelled(steps: Iterable[AuditTrailRow], *where: Any) -> Any:
        handled(terminal, CancelDREvent(dr_event_id=accepted, reason="by phone"))
        terminal.project()
        return export_steps(steps, *where)

    before = terminal.document("audit", "replay", "UTIL-1")
    monkeypatch.setattr("interfaces.cli.audit.step_files.export_steps", export_while_it_is_cancelled)
    told = terminal.run("audit", "export", "--out", terminal.folder)

    exported = (terminal.folder / "audit-steps.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in exported]
    assert [row for row in rows if row["type"] == "step"] == before["steps"]
    assert f"up to position {before['position']} of the log" in told.stdout


def test_an_export_waits_for_a_lagging_audit_trail_and_leaves_no_file_on_a_time_out(
    terminal: Terminal, accepted: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled(terminal, CancelDREvent(dr_event_id=accepted, reason="by phone"))
    with monkeypatch.context() as patched:
        patched.setattr("interfaces.cli.audit.export.CAUGHT_UP_WITHIN_S", 0.1)
        behind = terminal.run("audit", "export", "--out", terminal.folder / "none")
    assert (behind.exit_code, behind.stdout) == (1, "")
    assert "gridproof projections list" in behind.stderr
    assert not (terminal.folder / "none").exists()

    with terminal.worker("project"):
        exported = terminal.document("audit", "export", "--out", terminal.folder / "whole")
    with closing(PostgresEventStore(DemandResponse, terminal.database.app_dsn)) as store:
        log = [entry.position for entry in store.read_after(0, 1_000)]
    rows = [
        json.loads(line) for line in (terminal.folder / "whole/audit-steps.jsonl").read_text().splitlines()
    ]
    assert [row["position"] for row in rows] == log  # each position of the log, once
    assert exported["steps"] == len(log)
    steps = [row for row in rows if row["type"] == "step"]
    assert steps == terminal.document("audit", "replay", "UTIL-1")["steps"]
    acts = {row["topic"]: row for row in rows if row["type"] == "act"}
    assert {"facility.registered.v1", "program.terms-agreed.v2"} <= set(acts)
    assert acts["facility.registered.v1"]["what"].startswith(
        f"{acts['facility.registered.v1']['facility_id']} registered"
    )
    assert acts["program.terms-agreed.v2"]["program_id"]


def test_a_cancellation_is_recorded_with_actor_and_reason(terminal: Terminal, accepted: UUID) -> None:
    done = terminal.document("dr-events", "cancel", accepted, "--reason", "asked for by phone")

    assert done == {"dr_event_id": str(accepted), "status": "cancelled", "outcome": "cancelled"}
    cancelled = recorded(terminal, accepted)[-1]
    assert isinstance(cancelled, DREvent.Cancelled)
    assert cancelled.reason == "asked for by phone"
    assert cancelled.actor.startswith("operator:cli/")
    assert cancelled.tenant == "city-power"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["cancel", "UTIL-9", "--reason", "x"], 1, "gridproof dr-events list"),
        (["cancel", "UTIL-1", "--reason", " "], 1, "needs a reason"),
        (["cancel", "UTIL-1"], 2, "--reason"),
        (["cancel", str(UUID(int=9)), "--reason", "x"], 1, "no DR event"),
        (["override", "UTIL-1", "--facility", "fac-001", "--reason", "x"], 1, "no dispatch"),
        (["show", "UTIL-9"], 1, "no DR event"),
        (["show", "UTIL-1", "--as-of", "yesterday"], 2, "ISO 8601"),
        (["list", "--status", "nice"], 2, "nice"),
        (["list", "--as-of", "-1"], 2, "nor a position"),
    ],
)
def test_a_refusal_is_written_to_stderr_with_a_hint(
    terminal: Terminal, accepted: UUID, arguments: list[str], exit_code: int, text: str
) -> None:
    result = terminal.run("dr-events", *arguments)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert text in result.stderr


# ----------------------------------------------------------------------------------------------- dead letters


def test_dead_letters_are_listed_shown_and_discarded(terminal: Terminal) -> None:
    parked = letter()
    terminal.park(parked, letter(queue="bms_command", subject="fac-001"))

    assert len(terminal.document("dead-letters", "list")["dead_letters"]) == 2
    [listed] = terminal.document("dead-letters", "list", "--queue", "callback")["dead_letters"]
    assert (listed["reason"], "body" in listed) == ("HTTP 404", False)
    assert terminal.document("dead-letters", "show", parked.dead_letter_id)["body"] == "{}"

    done = terminal.document("dead-letters", "discard", parked.dead_letter_id, "--reason", "told by phone")

    assert (done["status"], done["decision_reason"]) == ("discarded", "told by phone")
    assert done["decided_by"].startswith("operator:cli/")
    assert len(terminal.document("dead-letters", "list")["dead_letters"]) == 1
    assert len(terminal.document("dead-letters", "list", "--status", "all")["dead_letters"]) == 2


def test_all_dead_letters_of_a_queue_are_discarded_at_once(terminal: Terminal) -> None:
    letters = [letter(subject=f"callback {number}") for number in range(3)]
    terminal.park(*letters, letter(queue="bms_command", subject="fac-001"))
    discard = ("dead-letters", "discard", "--queue", "callback", "--reason", "a test of theirs")

    assert terminal.document(*discard, "--parked-before", "2020-01-01T00:00:00Z") == {"discarded": 0}
    assert terminal.document(*discard) == {"discarded": 3}

    every = terminal.document("dead-letters", "list", "--status", "all")["dead_letters"]
    decided = {one["subject"]: (one["status"], one["decision_reason"]) for one in every}
    assert decided.pop("fac-001") == ("open", None)
    assert set(decided.values()) == {("discarded", "a test of theirs")}
    for wrong in (("--queue", "callback", str(letters[0].dead_letter_id)), ("--parked-before", "2020-01-01")):
        assert terminal.run("dead-letters", "discard", *wrong, "--reason", "x").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["show", str(UUID(int=9))], 1, "gridproof dead-letters list"),
        (["show", "nine"], 2, "UUID"),
        (["discard", str(UUID(int=1))], 2, "--reason"),
        (["discard", str(UUID(int=1)), "--reason", " "], 1, "needs a reason"),
        (["replay", str(UUID(int=1))], 1, "discard it"),
        (["replay", str(UUID(int=2))], 1, "projections rebuild"),
    ],
)
def test_an_invalid_decision_on_a_dead_letter_is_refused_with_the_reason(
    terminal: Terminal, arguments: list[str], exit_code: int, text: str
) -> None:
    terminal.park(letter(dead_letter_id=UUID(int=1), body=b"no work of ours"))
    terminal.park(letter(dead_letter_id=UUID(int=2), queue="projection"))

    result = terminal.run("dead-letters", *arguments)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert text in result.stderr
    assert len(terminal.document("dead-letters", "list")["dead_letters"]) == 2


def test_a_bms_command_that_was_never_requested_cannot_be_replayed(
    terminal: Terminal, accepted: UUID
) -> None:
    work = BmsWork(
        task="command",
        dr_event_id=accepted,
        facility_id="fac-001",
        command_id=UUID(int=5),
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        tenant="city-power",
        trace_id=CONTEXT.trace_id,
    )
    parked = letter(queue="bms_command", body=msgspec.json.encode(work))
    terminal.park(parked)

    result = terminal.run("dead-letters", "replay", parked.dead_letter_id)

    assert result.exit_code == 1
    assert "no dispatch" in result.stderr
    assert terminal.document("dead-letters", "show", parked.dead_letter_id)["status"] == "open"


def test_a_callback_is_replayed_onto_the_queue(terminal: Terminal, accepted: UUID) -> None:
    handled(terminal, RequestCallback(dr_event_id=accepted, kind="accepted"))
    with closing(PostgresEventStore(DemandResponse, terminal.database.app_dsn)) as store:
        position = store.head()
    parked = letter(body=msgspec.json.encode(ParkedCallback("city-power", position, accepted)))
    with ConnectionPool[Any](terminal.database.app_dsn, min_size=1, max_size=1) as pool:
        rows = PostgresOpenWork(pool)
        rows.park(rows.take_callbacks(1, at_most=1, at_once=1)[0], [parked])

        done = terminal.document("dead-letters", "replay", parked.dead_letter_id, "--reason", "they are back")
        again = terminal.run("dead-letters", "replay", parked.dead_letter_id)

        [row] = rows.take_callbacks(1, at_most=9, at_once=9)
    assert (done["status"], done["decision_reason"]) == ("replayed", "they are back")
    assert (again.exit_code, "already replayed" in again.stderr) == (1, True)
    assert (row.queue, row.position) == ("city-power", position)


def test_a_replay_without_nats_fails_and_leaves_the_dead_letter_open(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.bootstrap.operations.CONNECT_WITHIN_S", 0.5)
    reading = MeterReading("fac-001", "main", CLOCK.now(), 1.0, 1.0)
    batch = pack(ReadingBatch(received_at=CLOCK.now(), readings=[reading]))
    parked = letter(queue="telemetry_batch", body=batch)
    terminal.park(parked)

    nowhere = {"GRIDPROOF_NATS_URL": "nats://127.0.0.1:1"}
    result = terminal.run("dead-letters", "replay", parked.dead_letter_id, environ=nowhere)

    assert result.exit_code == 1
    assert "GRIDPROOF_NATS_URL" in result.stderr
    assert terminal.document("dead-letters", "show", parked.dead_letter_id)["status"] == "open"

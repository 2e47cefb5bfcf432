"""Opt-out, opt-in and cancellation from the command line."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import Judgement, JudgeNotification
from domain.dr_event import Notice
from interfaces.bootstrap import open_stores
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import Terminal
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    found = Terminal(database, tmp_path)
    found.import_portfolio()
    return found


@pytest.fixture
def accepted(terminal: Terminal) -> UUID:
    """A DR event, UTIL-1, over two facilities, for the day after tomorrow."""
    return ask(terminal, "UTIL-1", days=2).dr_event_id


def ask(terminal: Terminal, event_id: str, *, days: int) -> Judgement:
    starts_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=days)
    notice = Notice(
        notification_id=f"n-{event_id}",
        modification_number=0,
        program_id="summer-peak",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=2),
        target_kw=60.0,
        facility_ids=("fac-001", "fac-002"),
        priority=1,
    )
    command = JudgeNotification(utility_id="city-power", utility_event_id=event_id, notice=notice)
    context = CommandContext(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="utility:city-power",
        tenant="city-power",
        trace_id="0" * 32,
    )
    stores = open_stores(read_settings(terminal.environ))
    try:
        judgement: Judgement = stores.bus.handle(command, context, reply_type=Judgement)
    finally:
        stores.close()
    return judgement


def test_a_facility_opts_out_of_one_dr_event_by_the_utilitys_id(terminal: Terminal, accepted: UUID) -> None:
    done = terminal.document(
        "facilities", "opt-out", "fac-001", "--dr-event", "UTIL-1", "--reason", "chiller broken"
    )
    assert done == {"facility_id": "fac-001", "opted_out": True, "dr_event_ids": [str(accepted)]}
    assert ask(terminal, "UTIL-2", days=4).status == "accepted"


def test_a_facility_that_opts_out_of_all_dr_events_is_refused_until_it_opts_in(
    terminal: Terminal, accepted: UUID
) -> None:
    out = terminal.run("facilities", "opt-out", "fac-001", "--reason", "a concert tonight")
    assert out.exit_code == 0
    assert "serves no longer in any DR event" in out.stdout
    assert str(accepted) in out.stdout
    terminal.project()
    assert "opted out" in terminal.run("facilities", "list").stdout
    refused = ask(terminal, "UTIL-2", days=4)
    assert ("opted_out", "fac-001") in [(reason.code, reason.facility_id) for reason in refused.reasons]

    back = terminal.run("facilities", "opt-in", "fac-001", "--reason", "it is off")
    assert "serves again in any DR event" in back.stdout
    terminal.project()
    assert "opted out" not in terminal.run("facilities", "list").stdout
    assert ask(terminal, "UTIL-3", days=4).status == "accepted"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["opt-out", "fac-404", "--reason", "x"], 1, "fac-404"),
        (["opt-out", "fac-001"], 2, "--reason"),
        (["opt-out", "fac-001", "--reason", " "], 1, "reason"),
        (["opt-in", "fac-001", "--dr-event", "UTIL-404", "--reason", "x"], 1, "UTIL-404"),
    ],
)
def test_an_invalid_opt_out_or_opt_in_is_refused_with_the_reason(
    terminal: Terminal, arguments: list[str], exit_code: int, text: str
) -> None:
    result = terminal.run("facilities", *arguments)
    assert result.exit_code == exit_code
    assert text in result.stderr


def test_an_owner_opts_its_facility_out_and_in_with_its_key(terminal: Terminal, tmp_path: Path) -> None:
    def key_file(*scope: str) -> str:
        path = tmp_path / "one.key"
        path.write_text(terminal.document("keys", "create", *scope)["key"] + "\n")
        return str(path)

    owner = key_file("--role", "owner", "--facility", "fac-001")
    arguments = ("fac-001", "--reason", "exams", "--key-file", owner)
    assert terminal.document("facilities", "opt-out", *arguments)["opted_out"] is True
    terminal.project()
    assert "active, opted out by its owner" in terminal.run("facilities", "list").stdout
    foreign = terminal.run("facilities", "opt-out", "fac-002", "--reason", "exams", "--key-file", owner)
    assert foreign.exit_code == 1
    assert "may not opt fac-002 out or in" in foreign.stderr
    assert terminal.run("facilities", "opt-in", *arguments).exit_code == 0
    assert terminal.run("facilities", "opt-out", "fac-001", "--reason", "boiler").exit_code == 0
    refused = terminal.run("facilities", "opt-in", *arguments)
    assert refused.exit_code == 1
    assert "ask the operator to end it" in refused.stderr
    (tmp_path / "one.key").write_text("gpk_nothing")
    assert "no valid API key" in terminal.run("facilities", "opt-in", *arguments).stderr


def test_a_facility_is_in_maintenance_until_it_ends(terminal: Terminal) -> None:
    begun = terminal.run("facilities", "maintenance", "fac-001", "--reason", "a new chiller")
    assert (begun.exit_code, begun.stdout) == (0, "fac-001 is in maintenance\n")
    refused = ask(terminal, "UTIL-2", days=4)
    assert ("facility_in_maintenance", "fac-001") in [
        (reason.code, reason.facility_id) for reason in refused.reasons
    ]
    assert terminal.run("facilities", "maintenance", "fac-001", "--end").exit_code == 0
    assert ask(terminal, "UTIL-3", days=4).status == "accepted"
    assert terminal.run("facilities", "maintenance", "fac-001").exit_code == 2


def test_a_deactivated_facility_is_released_and_comes_back_only_by_a_command(
    terminal: Terminal, accepted: UUID
) -> None:
    done = terminal.document("facilities", "deactivate", "fac-001", "--reason", "sold")
    assert done == {"facility_id": "fac-001", "dr_event_ids": [str(accepted)]}
    refused = ask(terminal, "UTIL-2", days=4)
    assert ("facility_deactivated", "fac-001") in [
        (reason.code, reason.facility_id) for reason in refused.reasons
    ]
    assert terminal.run("facilities", "reactivate", "fac-001", "--reason", "the wrong one").exit_code == 0
    assert ask(terminal, "UTIL-3", days=4).status == "accepted"


def test_a_second_cancellation_changes_nothing(terminal: Terminal, accepted: UUID) -> None:
    for outcome in ("cancelled", "already_cancelled"):
        done = terminal.document("dr-events", "cancel", "UTIL-1", "--reason", "storm over")
        assert (done["dr_event_id"], done["status"], done["outcome"]) == (str(accepted), "cancelled", outcome)

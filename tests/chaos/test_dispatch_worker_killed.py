"""SIGKILL of the dispatch worker and the relay during work, on real servers: same result, no duplicate commands.

One of the two buildings has no deduplication: it executes every repeated command.
"""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from domain.dr_event import Batch
from interfaces.simulators.bms.journal import COMMANDED, curtailed_zones, duplicate_actions
from tests.chaos.small_system import SmallSystem, small_system
from tests.servers import Database

SHORT = [
    "dispatch.before_call_prepare",
    "dispatch.after_call_commit",
    "dispatch.after_call_restore",
    "dispatch.after_record_restore",
    "dispatch.after_take",
    "dispatch.before_finish",
    "decide.after_command_CommitDispatch",
]
LONG = [
    *(
        f"dispatch.{place}_{phase}"
        for place in ("before_call", "after_call", "after_record")
        for phase in ("prepare", "commit", "restore")
    ),
    *("dispatch.after_call", "dispatch.before_call"),
    *("dispatch.after_take", "dispatch.before_finish"),
    *(
        f"decide.{place}_command_{command}"
        for place in ("before", "after")
        for command in ("PlanDREvent", "PrepareDispatch", "RestoreDispatch")
    ),
    "decide.after_command_CompleteDREvent",
]
IN_FLIGHT = re.compile(
    r"dispatch\.\w+ (prepare|commit|restore) (?P<facility>fac-[0-9a-f]{8}-[12])/hall (?P<command>[0-9a-f-]{36})"
    r"|dispatch\.(after_take|before_finish) fac-[0-9a-f]{8}-[12] \d+"
    r"|decide\.\w+_command (?P<followed>\w+)"
)


def test_the_long_test_has_twenty_failpoints() -> None:
    assert len(LONG) == 20


def has_the_same_end(system: SmallSystem) -> None:
    system.until_scheduled()
    system.prepare()
    system.start()
    system.end()
    system.until_struck()

    struck_in_mid_work(system)
    assert system.dr_event.outcome == "full"
    assert system.dr_event.batch == Batch(asked=2, prepared=2, committed=2, failed=0, restored=2)
    assert [dispatch.status for dispatch in system.dispatches()] == ["restored", "restored"]

    assert duplicate_actions(system.journal) == {}
    for facility_id in system.facility_ids:
        done = [e.action for e in system.journal if e.facility_id == facility_id and e.action in COMMANDED]
        assert done == ["prepare", "commit", "restore"]
    assert curtailed_zones(system.journal, system.clock.now()) == set()
    assert {entry.setpoint for entry in system.journal if entry.action == "restore"} == {22.0}


def struck_in_mid_work(system: SmallSystem) -> None:
    """The process was killed once, with recorded work in flight."""
    assert system.killed == [system.failpoint.partition(".")[0]]
    found = IN_FLIGHT.fullmatch(system.once_file.read_text().strip())
    assert found, system.once_file.read_text()
    if found["command"]:
        known = {UUID(key) for dispatch in system.dispatches() for key in dispatch.commands}
        assert UUID(found["command"]) in known
        assert found["facility"] in system.facility_ids


@pytest.mark.parametrize("failpoint", SHORT)
def test_a_process_killed_during_work_does_not_change_the_outcome(
    database: Database, nats_url: str, tmp_path: Path, failpoint: str
) -> None:
    with small_system(database, nats_url, tmp_path, failpoint) as system:
        has_the_same_end(system)


def test_a_command_that_is_sent_twice_is_detected(database: Database, nats_url: str, tmp_path: Path) -> None:
    """Tests the check itself: with an injected resend the buildings' journal shows the repeated action."""
    with small_system(database, nats_url, tmp_path, "", planted_fault="resend") as system:
        system.until_scheduled()
        system.prepare()
        system.start()
        system.end()
        [(repeated, times)] = duplicate_actions(system.journal).items()
        assert (repeated.facility_id, repeated.action, times) == (system.facility_ids[1], "commit", 2)


@pytest.mark.chaos
@pytest.mark.parametrize("failpoint", LONG)
def test_a_kill_at_any_of_twenty_failpoints_does_not_change_the_outcome(
    database: Database, nats_url: str, tmp_path: Path, failpoint: str
) -> None:
    with small_system(database, nats_url, tmp_path, failpoint) as system:
        has_the_same_end(system)

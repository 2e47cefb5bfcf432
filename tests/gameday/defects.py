"""Cases of defects: a process with a planted one takes the place of the demo's own, as a faulty release would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from domain.telemetry.intervals import interval_start
from tests.gameday.drill import Drill
from tests.gameday.extra_process import ON_OTHER_MACHINE, OTHER_MACHINE, beside, in_place_of
from tests.gameday.registry import case

ASKED = "fac-004"
AHEAD = timedelta(hours=1)
"""Other cases of the round ask for the same facility before."""
CORRECTED, YESTERDAY, RIPE = "fac-003", timedelta(hours=30), timedelta(minutes=10)
CORRECTION = """
INSERT INTO gridproof.telemetry_corrections (facility_id, starts_at, old_mean_kw, new_mean_kw, corrected_at)
VALUES (%s, %s, 1, 2, %s)
"""


@case(
    "deploy_faulty_release",
    "deadline_failing",
    "saga_command_parked",
    "dr_event_recovering_too_long",
    "settlement_failing",
)
def deploy_faulty_release(drill: Drill) -> None:
    """One DR event meets a defect at its end, at its completion, and when it is settled."""
    dr_event_id = drill.request(ASKED, ahead=AHEAD)
    with _failing(drill, "compute", "SettleDREvent", dr_event_id):
        with _failing(drill, "decide", "EndDREvent", dr_event_id):
            drill.until(lambda: _status(drill, dr_event_id) == "active", "the DR event is active")
            drill.begin()
            deadline = drill.fires("deadline_failing", f"end/{dr_event_id}")
            drill.look_at("deadline_failing", ID=dr_event_id)
            drill.begin()
        with _failing(drill, "decide", "CompleteDREvent", dr_event_id):
            drill.ends(deadline)
            parked = drill.fires("saga_command_parked")
            recovering = drill.fires("dr_event_recovering_too_long", dr_event_id)
            drill.look_at("saga_command_parked", ID=dr_event_id)
            drill.look_at("dr_event_recovering_too_long", ID=dr_event_id)
        drill.begin()
        *_, first = drill.letters("saga_command", parked.subject)  # the newest comes first
        drill.do("saga_command_parked", "gridproof dead-letters replay ID", ID=first)
        drill.ends(parked)
        drill.ends(recovering)
        failing = drill.fires("settlement_failing", dr_event_id)
        drill.look_at("settlement_failing")
        drill.undo()
    drill.do("settlement_failing", 'gridproof settlement run ID --reason "..."', ID=dr_event_id)
    drill.ends(failing)


def _status(drill: Drill, dr_event_id: str) -> str:
    return str(drill.demo.get(f"/api/dr-events/{dr_event_id}")["status"])


@contextmanager
def _failing(drill: Drill, worker: str, command: str, dr_event_id: str) -> Iterator[None]:
    program = ("tests.planted_worker", "--failing", f"{command}/{dr_event_id}")
    with in_place_of(drill, worker, program=program):
        yield


@case("break_sealing", "sealing_failing", round=2)
def break_sealing(drill: Drill) -> None:
    """Readings of yesterday were corrected, and the day is to be sealed again."""
    now = drill.demo.clock.now()
    program = ("tests.planted_worker", "--failing-seal", CORRECTED)
    with in_place_of(drill, "compute", program=program):
        drill.as_owner(CORRECTION, CORRECTED, interval_start(now - YESTERDAY), now - RIPE)
        failing = drill.fires("sealing_failing", CORRECTED)
        day = {"DAY": (now - YESTERDAY).isoformat(), "DAY_AFTER": now.isoformat()}
        drill.look_at("sealing_failing", FACILITY=CORRECTED, **day)
        drill.undo()
    drill.ends(failing)


@case("set_clock_wrong", "clock_skewed")
def set_clock_wrong(drill: Drill) -> None:
    """A process of another machine, which stands by."""
    wrong = drill.demo.folder / "wrong-clock"
    wrong.touch()
    program = (*ON_OTHER_MACHINE, "--wrong-clock", str(wrong))
    with beside(drill, "archive", program=program):
        skewed = drill.fires("clock_skewed", OTHER_MACHINE)
        drill.look_at("clock_skewed")
        drill.undo(wrong.unlink)
        drill.ends(skewed)

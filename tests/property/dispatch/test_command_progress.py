"""Whatever a BMS does, a command is not sent while it may be done nor after its deadline, and it comes to an end."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from application.dispatch.execution.command_progress import CommandProgress
from application.dispatch.time_limits import TIME_LIMITS
from application.ports.dispatch.building_control import BmsBusy, BmsTimedOut, BmsUnreachable
from application.ports.dispatch.work_queue import BmsWork
from domain.dispatch import BmsCommand, CommandRecord, DispatchState
from domain.facility import BmsLink

NOW = datetime(2026, 7, 14, 21, tzinfo=UTC)
DEADLINE = NOW + timedelta(minutes=15)
COMMAND = BmsCommand(
    command_id=UUID(int=1),
    zone_id="hall",
    phase="commit",
    plan_revision=1,
    round=1,
    strategy="setpoint_offset",
    magnitude=2.0,
    restore_to=None,
    expires_at=NOW + timedelta(hours=5),
    not_after=DEADLINE,
)
DISPATCH = DispatchState(
    dr_event_id=UUID(int=2),
    facility_id="fac-001",
    plan_revision=1,
    starts_at=NOW,
    ends_at=NOW + timedelta(hours=4),
    expires_at=NOW + timedelta(hours=5),
    target_kw=60.0,
    bms=BmsLink(address="http://bms", profile="two_phase", credentials_ref=None),
    zones={},
)
WORK = BmsWork(
    task="command",
    dr_event_id=DISPATCH.dr_event_id,
    facility_id="fac-001",
    command_id=COMMAND.command_id,
    correlation_id=UUID(int=3),
    causation_id=UUID(int=4),
    tenant=None,
    trace_id="0" * 32,
)
BEHAVIOURS = ("unknown", "unreachable", "time_out", "busy", "inexpressible")


@given(
    attempts=st.integers(0, 2),
    behaviours=st.lists(
        st.tuples(st.sampled_from(BEHAVIOURS), st.integers(0, 600)), min_size=20, max_size=20
    ),
)
def test_a_command_without_an_answer_is_given_up_within_its_limits(
    attempts: int, behaviours: list[tuple[str, int]]
) -> None:
    record = CommandRecord(command=COMMAND, attempts=attempts)
    progress, now = CommandProgress.of(WORK, DISPATCH, record, is_attempted=False), NOW
    reached_bms, steps = attempts > 0, 0
    for behaviour, seconds in behaviours:
        step = progress.next_step(now)
        if step == "give_up":
            break
        steps += 1
        assert step == ("query" if progress.maybe_done else "call")
        assert step == "query" or now < DEADLINE
        if behaviour == "unknown" and step == "query":
            progress.note_unknown()
        elif behaviour == "inexpressible":
            progress.note_inexpressible(ValueError("no such strategy"))
        elif behaviour == "unreachable":
            progress.note_failure(BmsUnreachable("refused"))
        else:
            if step == "call":
                progress.note_sent()
                reached_bms = True
            progress.note_failure(BmsBusy("HTTP 429", 1e6) if behaviour == "busy" else BmsTimedOut("late"))
        now += timedelta(seconds=seconds)
        least_s = progress.least_pause_s(now)
        assert least_s is None or least_s <= TIME_LIMITS.longest_busy_wait_s
    assert progress.next_step(now) == "give_up"
    assert steps <= 2 * TIME_LIMITS.max_tries
    assert progress.was_sent == reached_bms
    letter = progress.dead_letter(now)
    assert letter.reason.startswith("not done by") or letter.reason == progress.last_error


def test_a_command_that_was_attempted_before_is_queried_first_and_then_sent_before_its_deadline() -> None:
    progress = CommandProgress.of(
        WORK, DISPATCH, CommandRecord(command=COMMAND, attempts=1), is_attempted=False
    )
    assert progress.next_step(DEADLINE) == "query"
    progress.note_unknown()
    assert (progress.next_step(NOW), progress.next_step(DEADLINE)) == ("call", "give_up")
    assert progress.failure_reason(DEADLINE) == f"not done by {DEADLINE}; last: not tried"

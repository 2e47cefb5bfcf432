"""Whatever a BMS does, a command is not sent while it may be done nor after its deadline, and it comes to an end."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.dispatch.execution.command_progress import CommandProgress
from application.dispatch.time_limits import TIME_LIMITS
from application.ports.dispatch.building_control import BmsBusy, BmsTimedOut, BmsUnreachable
from application.ports.dispatch.requested_work import BmsWork
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


def dispatch(profile: str) -> DispatchState:
    return replace(DISPATCH, bms=replace(DISPATCH.bms, profile=profile))


BEHAVIOURS = ("unknown", "unreachable", "time_out", "busy", "inexpressible")


@given(
    attempts=st.integers(0, 2),
    profile=st.sampled_from(("two_phase", "two_phase_no_dedup", "single_phase")),
    behaviours=st.lists(
        st.tuples(st.sampled_from(BEHAVIOURS), st.integers(0, 600)), min_size=20, max_size=20
    ),
)
def test_a_command_without_an_answer_is_given_up_within_its_limits(
    attempts: int, profile: str, behaviours: list[tuple[str, int]]
) -> None:
    record = CommandRecord(command=COMMAND, attempts=attempts)
    progress, now = CommandProgress.of(WORK, dispatch(profile), record, now=NOW, is_attempted=False), NOW
    reached_bms, steps = attempts > 0, 0
    for behaviour, seconds in behaviours:
        step = progress.next_step(now)
        if step == "give_up":
            break
        steps += 1
        assert step == ("query" if progress.maybe_done else "call")
        assert step == "query" or now < DEADLINE
        if behaviour == "unknown" and step == "query":
            now += timedelta(seconds=progress.note_unknown(now))
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
    assert steps <= 2 * TIME_LIMITS.max_tries + 1
    assert progress.was_sent == reached_bms
    letter = progress.dead_letter(now)
    assert letter.reason.startswith("not done by") or letter.reason == progress.last_error


def test_a_command_that_was_attempted_before_is_queried_first_and_then_sent_before_its_deadline() -> None:
    progress = CommandProgress.of(
        WORK, DISPATCH, CommandRecord(command=COMMAND, attempts=1), now=NOW, is_attempted=False
    )
    assert progress.next_step(DEADLINE) == "query"
    assert progress.note_unknown(NOW) == 0.0
    assert (progress.next_step(NOW), progress.next_step(DEADLINE)) == ("call", "give_up")
    assert progress.failure_reason(DEADLINE) == f"not done by {DEADLINE}; last: not tried"


@pytest.mark.parametrize("profile", ["two_phase_no_dedup", "single_phase"])
def test_without_deduplication_the_status_is_queried_until_no_earlier_call_can_arrive(
    profile: str,
) -> None:
    progress = CommandProgress.of(
        WORK, dispatch(profile), CommandRecord(command=COMMAND, attempts=1), now=NOW, is_attempted=False
    )
    assert progress.note_unknown(NOW + timedelta(seconds=1)) == TIME_LIMITS.call_s - 1
    assert progress.next_step(NOW) == "query"
    assert progress.note_unknown(NOW + timedelta(seconds=TIME_LIMITS.call_s)) == 0.0
    assert progress.next_step(NOW) == "call"

"""Outcomes of a building's zones that arrive close together go into one save, without waiting for a slow
zone."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from application.commands.dispatch import DispatchCommand, RecordBmsSuccess
from application.commands.dispatch_batch import BmsSuccess, RecordBmsSuccesses
from application.dispatch.execution.outcome_batcher import OutcomeBatcher
from application.ports.dispatch.requested_work import BmsWork
from domain.dispatch import Setpoint

PATIENCE_S = 20.0
WORK = BmsWork(
    task="command",
    dr_event_id=UUID(int=1),
    facility_id="fac-1",
    command_id=UUID(int=2),
    correlation_id=UUID(int=3),
    causation_id=UUID(int=4),
    tenant=None,
    trace_id="0" * 32,
)


def success(number: int) -> BmsSuccess:
    return BmsSuccess(
        command_id=UUID(int=number),
        executed_at=datetime(2026, 7, 14, tzinfo=UTC),
        setpoint=Setpoint(value=24.0, unit="celsius"),
        learned_by="answer",
    )


class Log:
    """The recorded successes, save by save."""

    def __init__(self) -> None:
        self.saves: list[list[int]] = []
        self.reached: list[str] = []
        self.changed = asyncio.Event()
        self.is_down = False

    async def record(self, command: DispatchCommand) -> None:
        if self.is_down:
            raise ConnectionError("down")
        if isinstance(command, RecordBmsSuccesses):
            self.saves.append([one.command_id.int for one in command.successes])
        elif isinstance(command, RecordBmsSuccess):
            self.saves.append([command.command_id.int])
        self.changed.set()

    def successes(self, window_s: float) -> OutcomeBatcher:
        return OutcomeBatcher(WORK, self.record, lambda _, text: self.reached.append(text), window_s=window_s)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(in_time())


def test_zones_that_answer_in_close_succession_share_a_save() -> None:
    async def scenario() -> None:
        log = Log()
        successes = log.successes(window_s=3_600.0)
        for number in (1, 2, 3):
            successes.add(success(number), str(number))
            await asyncio.sleep(0)
        await successes.recorded()
        assert log.saves == [[1, 2, 3]]
        assert log.reached == ["1", "2", "3"]

    run(scenario)


def test_an_outcome_does_not_wait_for_a_slow_zone() -> None:
    async def scenario() -> None:
        log = Log()
        successes = log.successes(window_s=0.01)
        successes.add(success(1), "1")
        await log.changed.wait()  # `recorded` was not called yet
        assert log.saves == [[1]]
        successes.add(success(2), "2")
        await successes.recorded()
        assert log.saves == [[1], [2]]

    run(scenario)


def test_the_error_of_a_failed_record_is_raised() -> None:
    async def scenario() -> None:
        log = Log()
        log.is_down = True
        successes = log.successes(window_s=3_600.0)
        successes.add(success(1), "1")
        with pytest.raises(ConnectionError):
            await successes.recorded()
        assert log.reached == []

    run(scenario)


def test_nothing_is_recorded_without_an_outcome() -> None:
    async def scenario() -> None:
        log = Log()
        await log.successes(window_s=3_600.0).recorded()
        assert log.saves == []

    run(scenario)

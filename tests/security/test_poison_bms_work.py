"""Work for one building that fails with any error is parked; the dispatch worker and other buildings go on."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from application.command_bus.retry import MAX_TRIES
from application.commands.dr_event import StartPreparation
from application.ports.dispatch.building_control import BmsConnection
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID

PATIENCE_S = 20.0
POISON, HEALTHY = "fac-001", "fac-002"


@pytest.mark.parametrize("error", [TypeError("a defect"), AttributeError("x"), RuntimeError("x")])
def test_work_that_fails_with_any_error_is_parked_after_some_tries(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = InProcessSystem.accepted(POISON, HEALTHY).until("scheduled")
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    world.relay_all()
    tries = 0
    execute = world.control.execute

    async def failing(connection: BmsConnection, *arguments: Any, **options: Any) -> Any:
        nonlocal tries
        if connection.facility_id == POISON:
            tries += 1
            raise error
        return await execute(connection, *arguments, **options)

    monkeypatch.setattr(world.control, "execute", failing)
    monkeypatch.setattr("interfaces.workers.dispatch.dispatch.TIME_LIMITS", _quick())
    worker = DispatchWorker(
        source=world.queue, calls=world.calls, locks=FakeLocks(), facilities=lambda: [POISON, HEALTHY]
    )

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while any(world.queue.waiting.get(f"bms {one}") for one in (POISON, HEALTHY)):
                assert not running.done(), running.result()
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with capture_logs():
        asyncio.run(scenario())
    assert world.dispatch(HEALTHY).status == "prepared"
    [letter] = world.dead_letters.listed(queue="bms_command")
    assert (letter.subject, letter.reason) == (POISON, f"{type(error).__name__}: {error}")
    assert 1 <= tries <= MAX_TRIES
    assert ("command_dead_lettered", f"{POISON}/message") in {
        (alert.name, alert.subject) for alert in world.alerts.listed()
    }


def _quick() -> Any:
    return type("Limits", (), {"retry_wall_s": 0.01})()

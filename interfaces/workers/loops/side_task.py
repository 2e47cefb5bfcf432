"""A side task of a worker: a monitor or an expiry, whose errors do not end the worker.

A worker that ends is started again, and ends again at the same error: what it is there for would stand still.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.command_bus.retry import Stopped, sleep_or_stop
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.observer import this_process

ALERT = "side_task_failing"
RETRY_S = 30.0
"""Wall seconds until a side task that failed starts over."""
SOUND_AFTER_S = 60.0
"""Wall seconds without an error after which its alert ends. One with longer rounds states it again."""
log = structlog.get_logger(__name__)


async def run_side_task(
    run: Callable[[asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
    *,
    name: str,
    alerts: AlertRegistry,
    clock: Clock,
) -> None:
    """Call `run` until it returns. After an error: an alert about `name`, and another call after RETRY_S."""
    observer = f"{name} of {this_process()}"

    async def state(error: Exception | None) -> None:
        stated = {} if error is None else {name: f"{type(error).__name__}: {error}"[:1_000]}
        try:
            await asyncio.to_thread(alerts.state, ALERT, stated, observer=observer, at=clock.now())
        except Exception as unavailable:  # noqa: BLE001 - an alert that cannot be stated must not stop the task
            log.warning("alert not recorded", alert=ALERT, subject=name, why=str(unavailable))

    async def state_when_sound() -> None:
        await asyncio.sleep(SOUND_AFTER_S)
        await state(None)

    while not stop.is_set():
        sound = asyncio.create_task(state_when_sound())
        try:
            await run(stop)
        except Stopped:
            return
        except Exception as error:
            log.exception("a side task failed; it starts over", task=name)
            sound.cancel()
            await state(error)
            await sleep_or_stop(stop, RETRY_S)
        else:
            await state(None)
            return
        finally:
            sound.cancel()

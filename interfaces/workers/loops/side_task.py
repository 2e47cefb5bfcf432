"""A side task of a worker: a monitor, a sweeper or an expiry, whose errors do not end the worker.

A worker that ends is started again, and ends again at the same error: what it is there for would stand still.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.command_bus.retry import Stopped, sleep_or_stop
from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry

ALERT = "side_task_failing"
RETRY_S = 30.0
"""Wall seconds until a side task that failed starts over."""
SOUND_AFTER_S = 60.0
"""Wall seconds without an error after which its alert is cleared. One with longer rounds raises it again."""
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
    switch = AlertSwitch(alerts, clock, ALERT, name)
    while not stop.is_set():
        sound = asyncio.create_task(_clear_when_sound(switch))
        try:
            await run(stop)
        except Stopped:
            return
        except Exception as error:
            log.exception("a side task failed; it starts over", task=name)
            sound.cancel()
            await switch.turn(on=True, detail=f"{type(error).__name__}: {error}"[:1_000])
            await sleep_or_stop(stop, RETRY_S)
        else:
            if not stop.is_set():
                await switch.turn(on=False)
            return
        finally:
            sound.cancel()


async def _clear_when_sound(switch: AlertSwitch) -> None:
    """Also one that an earlier process raised."""
    await asyncio.sleep(SOUND_AFTER_S)
    await switch.turn(on=False)

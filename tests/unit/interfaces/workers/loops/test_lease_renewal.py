"""A stopped worker ends, also while it releases a delivery (a regression of fault storm seed 370)."""

import asyncio
from dataclasses import dataclass, field

from interfaces.workers.loops.lease_renewal import renewing_lease
from tests.patience import ANSWER_S


@dataclass
class SlowToLetGo:
    """A delivery whose renewal does not end at once."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    letting_go: asyncio.Event = field(default_factory=asyncio.Event)
    body: bytes = b""
    deliveries: int = 1

    async def done(self) -> None: ...

    async def redeliver_after(self, wall_s: float) -> None: ...

    async def extend_lease(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.letting_go.set()
            await asyncio.sleep(0.05)
            raise


def test_a_cancellation_during_the_release_of_a_delivery_is_not_lost() -> None:
    async def scenario() -> None:
        item = SlowToLetGo()

        async def work() -> None:
            async with renewing_lease(item.extend_lease, 0.003):
                await item.asked.wait()
            await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await item.letting_go.wait()
        working.cancel()
        await asyncio.wait({working}, timeout=ANSWER_S)
        assert working.cancelled()

    asyncio.run(scenario())

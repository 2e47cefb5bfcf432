"""A loop over open work: no row stays in no hand, and no work goes on without the loop."""

import asyncio
from collections.abc import Collection
from threading import Event

from application.ports.dispatch.open_work import OpenWork
from interfaces.workers.loops.open_work import OpenWorkLoop
from tests.fakes.dispatch.open_work import FakeOpenWork, FakeWorkHolder

WITHIN_S = 30.0


class SlowSignal:
    """Waits for the log in a session that takes its time to close."""

    def __init__(self) -> None:
        self.is_closing = asyncio.Event()

    async def wait(self, heartbeat_s: float) -> None:
        try:
            await asyncio.sleep(heartbeat_s)
        except asyncio.CancelledError:
            self.is_closing.set()
            await asyncio.sleep(WITHIN_S)
            raise


def test_work_is_cancelled_also_when_the_end_of_its_loop_is_cut_short() -> None:
    """Its calls would use connections that are closed by then, and count as failed."""

    async def scenario() -> None:
        rows, signal, stop = FakeOpenWork(), SlowSignal(), asyncio.Event()
        rows.add([("bms", "fac-001", 1)])
        begun, over = asyncio.Event(), asyncio.Event()

        async def call(_: OpenWork) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                over.set()

        def take(holder: int, _: Collection[OpenWork]) -> list[OpenWork]:
            return rows.take_bms(holder, commands=1, checks=0)

        loop = OpenWorkLoop("test", rows, FakeWorkHolder(rows), signal, take=take, do=call)
        running = asyncio.create_task(loop.run(stop))
        await begun.wait()
        stop.set()
        await signal.is_closing.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert over.is_set()

    asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))


class QuietSignal:
    """Nobody saves anything."""

    async def wait(self, heartbeat_s: float) -> None:
        await asyncio.sleep(heartbeat_s)


class LatePutOff(FakeOpenWork):
    """A row that is put off is due at once; the answer comes when it was taken again."""

    def __init__(self) -> None:
        super().__init__()
        self.was_taken_again = Event()
        self._may_answer = Event()

    def put_off(self, work: OpenWork, *, wall_s: float) -> None:
        super().put_off(work, wall_s=wall_s)
        assert self._may_answer.wait(WITHIN_S)

    def take(self, holder: int, _: Collection[OpenWork]) -> list[OpenWork]:
        if self.was_taken_again.is_set():
            self._may_answer.set()
        taken = self.take_bms(holder, commands=1, checks=0)
        if any(row.tries == 2 for row in taken):
            self.was_taken_again.set()
        return taken


def test_a_row_that_is_taken_again_before_its_put_off_is_answered_is_done() -> None:
    async def scenario() -> None:
        rows, stop = LatePutOff(), asyncio.Event()
        rows.add([("bms", "fac-001", 1)])

        async def once_more(row: OpenWork) -> float | None:
            if row.tries == 1:
                return 0.0
            stop.set()
            return None

        loop = OpenWorkLoop("test", rows, FakeWorkHolder(rows), QuietSignal(), take=rows.take, do=once_more)
        running = asyncio.create_task(loop.run(stop))
        await stop.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert rows.was_taken_again.is_set()

    asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))

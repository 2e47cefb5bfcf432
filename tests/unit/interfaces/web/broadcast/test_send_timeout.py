"""A stream whose connection takes nothing for too long is ended, however long it went well before."""

import asyncio

from interfaces.web.broadcast.send_timeout import SendTimeout


def test_pieces_that_are_taken_never_end_it_and_one_that_is_not_does() -> None:
    async def streaming(stuck: asyncio.Event) -> bool:
        limit = SendTimeout(0.2)
        try:
            for _ in range(40):  # several times as long as the limit
                limit.begin()
                await asyncio.sleep(0.01)
                limit.end()
            await asyncio.sleep(0.5)  # nothing to send: nobody is late
            limit.begin()
            stuck.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            limit.task.uncancel()
        finally:
            limit.close()
        return limit.is_over

    async def scenario() -> None:
        stuck = asyncio.Event()
        task = asyncio.create_task(streaming(stuck))
        await asyncio.wait_for(stuck.wait(), 30)
        assert not task.done()
        assert await asyncio.wait_for(task, 30)

    asyncio.run(scenario())


def test_a_cancellation_from_outside_is_not_taken_for_a_timeout() -> None:
    async def scenario() -> None:
        begun, limits = asyncio.Event(), list[SendTimeout]()

        async def streaming() -> None:
            limits.append(SendTimeout(60))
            limits[0].begin()
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(streaming())
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert not limits[0].is_over
        limits[0].close()

    asyncio.run(scenario())

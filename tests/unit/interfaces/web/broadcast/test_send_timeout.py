"""A stream ends if its connection accepts no data for too long, no matter how long it has run."""

import asyncio

from interfaces.web.broadcast.send_timeout import SendTimeout
from tests.patience import ANSWER_S


def test_a_stream_ends_only_if_a_chunk_is_not_taken_within_the_limit() -> None:
    async def streaming(stuck: asyncio.Event) -> bool:
        limit = SendTimeout(0.2)
        try:
            for _ in range(40):  # several times as long as the limit
                limit.begin()
                await asyncio.sleep(0.01)
                limit.end()
            await asyncio.sleep(0.5)  # nothing to send, so the limit does not apply
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
        await asyncio.wait_for(stuck.wait(), ANSWER_S)
        assert not task.done()
        assert await asyncio.wait_for(task, ANSWER_S)

    asyncio.run(scenario())


def test_an_external_cancellation_is_not_treated_as_a_timeout() -> None:
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

"""Keeping a delivery of the work queue while the work lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.ports.dispatch.work_queue import WorkItem


@asynccontextmanager
async def kept(item: WorkItem, redelivery_s: float) -> AsyncIterator[None]:
    """Inside the block the delivery stays ours: time is asked for three times as often as it runs out."""
    keeper = asyncio.create_task(_keep(item, redelivery_s / 3))
    try:
        yield
    finally:
        keeper.cancel()
        # Gathered, not awaited: a cancellation of our own that comes just now must not be taken for the keeper's.
        await asyncio.gather(keeper, return_exceptions=True)


async def _keep(item: WorkItem, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await item.extend_lease()

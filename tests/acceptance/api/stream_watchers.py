"""Clients of the live stream of a running API, many in one event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.unit.interfaces.web.live_feed_setup import Parsed

WITHIN_S = 120.0


@dataclass
class Screen:
    """An open stream; `ended` is true once the server has ended it."""

    answer: aiohttp.ClientResponse
    parsed: Parsed = field(default_factory=Parsed)
    ended: bool = False

    async def read(self) -> None:
        try:
            while piece := await self.answer.content.readany():
                self.parsed.take(piece)
        except (aiohttp.ClientError, ConnectionError):
            pass  # counts as the end of the stream, too
        self.ended = True


@asynccontextmanager
async def screens(
    url: str, key: dict[str, str], count: int = 1, *, after: str = "", query: str = ""
) -> AsyncIterator[list[Screen]]:
    """Open streams; each is read in its own task."""
    headers = {**key, "Accept-Encoding": "gzip, br", **({"Last-Event-ID": after} if after else {})}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        answers = await asyncio.gather(
            *(session.get(f"{url}/api/stream{query}", headers=headers) for _ in range(count))
        )
        # With compression a message would wait for the next ones.
        assert not any("Content-Encoding" in answer.headers for answer in answers)
        found = [Screen(answer) for answer in answers]
        reading = [asyncio.create_task(screen.read()) for screen in found]
        try:
            yield found
        finally:
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            for answer in answers:
                answer.close()

"""Callers that repeat their requests to the API and record every response."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.acceptance.degradation.answers import Answer
from tests.patience import END_S
from tests.unit.interfaces.web.live_feed_setup import Parsed

WITHIN_S = 200.0
"""Longer than any server time-out: a request without a response by then hangs."""
AGAIN_S = 0.25


@dataclass
class RepeatedRequest:
    """A request that is repeated. `body` returns the next body of a post, which is repeated until it is accepted."""

    column: str
    method: str
    path: str
    headers: Mapping[str, str]
    again_s: float = AGAIN_S
    body: Callable[[], Any] | None = None
    answers: list[Answer] = field(default_factory=list)

    def since(self, moment: float) -> list[Answer]:
        """The responses to requests sent after that time."""
        return [answer for answer in self.answers if answer.sent_at >= moment]


@dataclass
class StreamSubscriber:
    """A client of the live stream that reconnects and resumes by itself."""

    headers: Mapping[str, str]
    parsed: Parsed = field(default_factory=Parsed)
    connections: list[str] = field(default_factory=list)
    """The URLs it connected to."""

    @property
    def word(self) -> str:
        states = self.parsed.named("state")
        if not states:
            return "nothing was told"
        return str(states[-1]["reason"]) if states[-1]["stale"] else "fresh"


class Callers:
    """Sends requests from a separate thread. Starts with the first of `urls`, uses the next on connection errors."""

    def __init__(
        self, urls: Sequence[str], requests: Sequence[RepeatedRequest], subscriber: StreamSubscriber
    ) -> None:
        self._urls = itertools.cycle(urls)
        self.url = next(self._urls)
        self.requests = list(requests)
        self.subscriber = subscriber

    def of(self, column: str) -> list[RepeatedRequest]:
        return [one for one in self.requests if one.column == column]

    @contextmanager
    def sending(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        running = loop.create_task(self._run())
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(asyncio.wait({running})), name="callers"
        )
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(running.cancel)
            thread.join(END_S)  # until every call has closed its connection
            assert not thread.is_alive(), "a call does not end"
            loop.close()
        if not running.cancelled():
            running.result()

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as together,
        ):
            together.create_task(self._watch(session))
            for one in self.requests:
                together.create_task(self._ask_again(session, one))

    async def _ask_again(self, session: aiohttp.ClientSession, one: RepeatedRequest) -> None:
        body = None if one.body is None else one.body()
        while True:
            answer = await self._ask(session, one, body)
            one.answers.append(answer)
            if one.body is not None and answer.status in {202, 422}:
                body = one.body()
            await asyncio.sleep(one.again_s)

    async def _ask(self, session: aiohttp.ClientSession, one: RepeatedRequest, body: Any) -> Answer:
        sent_at, url = time.monotonic(), self.url
        try:
            async with session.request(one.method, url + one.path, headers=one.headers, json=body) as got:
                content = await got.read()
                headers = {name.lower(): value for name, value in got.headers.items()}
                return Answer(sent_at, time.monotonic(), got.status, headers, content)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self._go_on(url)
            return Answer(sent_at, time.monotonic(), 0, {}, b"", f"{type(error).__name__}: {error}")

    def _go_on(self, url: str) -> None:
        """Switch to the next URL, once for all callers that failed on the same URL."""
        if url == self.url:
            self.url = next(self._urls)

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        while True:
            url, resumed = self.url, self.subscriber.parsed.last_event_id
            headers = {**self.subscriber.headers, **({"Last-Event-ID": resumed} if resumed else {})}
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=WITHIN_S)
            try:
                async with session.get(f"{url}/api/stream", headers=headers, timeout=timeout) as got:
                    if got.status == 200:
                        self.subscriber.connections.append(url)
                    while piece := await got.content.readany():
                        self.subscriber.parsed.take(piece)
            except (aiohttp.ClientError, ConnectionError):
                self._go_on(url)
            self.subscriber.parsed.broken_off()
            await asyncio.sleep(AGAIN_S)

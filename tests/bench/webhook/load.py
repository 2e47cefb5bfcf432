"""The load generator of the webhook benchmark: an open loop, so that waiting time of a post counts.

Post i of the run is due at `i / rate` seconds, independent of earlier posts. Runs as a separate process:
reads a LoadPlan from stdin, writes a LoadReport to stdout, both JSON.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import msgspec

from tests.bench.figures import percentile

POST_WITHIN_S = 30.0
MOST_REMEMBERED = 16


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """A utility's key and its DR event requests as bodies, in order; the first is posted before the run."""

    token: str
    bodies: tuple[str, ...]


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    posts: int
    rate_per_s: float
    new_one_in: int
    senders: tuple[Sender, ...]
    seed: int = 1


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in ms, from the moment a post was due to the last byte of its answer."""

    all_ms: tuple[float, ...]
    new_ms: tuple[float, ...]
    statuses: dict[str, int]
    sent_late_p99_ms: float
    """How late the generator itself was. Latencies include it, although the API is not the cause."""


@dataclass
class _Run:
    plan: LoadPlan
    session: aiohttp.ClientSession
    answered: list[list[int]] = field(default_factory=list)
    """By sender, the DR events that may be repeated."""
    all_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    async def warm_up(self) -> None:
        """One DR event of each sender, so that there is something to repeat."""
        for number in range(len(self.plan.senders)):
            status = await self._post(number, 0)
            if status != "202":
                raise RuntimeError(f"the first post of sender {number} was answered by {status}")
            self.answered.append([0])

    async def load(self) -> None:
        plan, randomness = self.plan, random.Random(self.plan.seed)
        following = [1] * len(plan.senders)
        began = time.perf_counter()
        tasks = set()
        for number in range(plan.posts):
            due = began + number / plan.rate_per_s
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            sender = number % len(plan.senders)
            is_new = _is_new(number, plan)
            if is_new:
                body = following[sender]
                following[sender] += 1
            else:
                body = randomness.choice(self.answered[sender])
            tasks.add(asyncio.create_task(self._timed(sender, body, due, is_new=is_new)))
        await asyncio.gather(*tasks)

    async def _timed(self, sender: int, body: int, due: float, *, is_new: bool) -> None:
        self.late_ms.append((time.perf_counter() - due) * 1000)
        status = await self._post(sender, body)
        elapsed_ms = (time.perf_counter() - due) * 1000
        self.statuses[status] += 1
        self.all_ms.append(elapsed_ms)
        if is_new:
            self.new_ms.append(elapsed_ms)
            if status == "202":
                self.answered[sender] = [*self.answered[sender], body][-MOST_REMEMBERED:]

    async def _post(self, number: int, body: int) -> str:
        sender = self.plan.senders[number]
        headers = {"Authorization": f"Bearer {sender.token}", "Content-Type": "application/json"}
        try:
            async with self.session.post(
                self.plan.url, data=sender.bodies[body].encode(), headers=headers
            ) as response:
                await response.read()
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__

    def report(self) -> LoadReport:
        return LoadReport(
            all_ms=tuple(self.all_ms),
            new_ms=tuple(self.new_ms),
            statuses=dict(self.statuses),
            sent_late_p99_ms=percentile(self.late_ms, 99),
        )


def new_dr_events_of(sender: int, plan_posts: int, senders: int, new_one_in: int) -> int:
    """The number of new DR events of that sender in the run."""
    return sum(
        (sender + number // senders) % new_one_in == 0 for number in range(sender, plan_posts, senders)
    )


def _is_new(number: int, plan: LoadPlan) -> bool:
    """One in `new_one_in`, shifted from round to round so that every sender has its turn."""
    senders = len(plan.senders)
    return (number % senders + number // senders) % plan.new_one_in == 0


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    timeout = aiohttp.ClientTimeout(total=POST_WITHIN_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        run = _Run(plan, session)
        await run.warm_up()
        await run.load()
    sys.stdout.buffer.write(msgspec.json.encode(run.report()))


if __name__ == "__main__":
    asyncio.run(_main())

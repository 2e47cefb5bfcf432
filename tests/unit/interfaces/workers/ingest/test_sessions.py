"""Which session a worker gives up, and when. The test sets the locks and the holders."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from application.ports.telemetry.meter_feed import MessageConsumer
from interfaces.workers.ingest import sessions as ingest_sessions
from interfaces.workers.ingest.sessions import IngestSession, balance
from tests.patience import ANSWER_S


class NoFeed:
    async def run(self, consumer: MessageConsumer, stop: asyncio.Event) -> None:
        await stop.wait()


class FreeTurn:
    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()


class SaidShares:
    """Returns the same holders each time, after `failures` errors; `asked` counts the calls."""

    def __init__(self, count_by_holder: Mapping[str, int], failures: int = 0) -> None:
        self._held_by = count_by_holder
        self._failures = failures
        self.asked = 0

    async def count_by_holder(self) -> Mapping[str, int]:
        self.asked += 1
        if self.asked <= self._failures:
            raise ConnectionError("away")
        return self._held_by


def given_up(held: int, shares: SaidShares, rounds: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sessions in the order in which they are given up; each is taken again at once."""
    monkeypatch.setattr(ingest_sessions, "_BALANCE_EVERY_S", 0.001)
    sessions = [IngestSession(f"s{n}", NoFeed(), FreeTurn(), is_held=True) for n in range(held)]
    names: list[str] = []

    async def scenario() -> None:
        stop = asyncio.Event()
        sharing = asyncio.create_task(balance(sessions, shares, "us", stop))
        async with asyncio.timeout(ANSWER_S):
            while shares.asked < rounds:
                await asyncio.sleep(0)
                for session in sessions:
                    if session.give_up.is_set():
                        names.append(session.name)
                        session.give_up.clear()
        stop.set()
        await sharing

    asyncio.run(scenario())
    return names


def test_a_worker_with_two_more_sessions_than_another_gives_up_each_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other holder may be dead and still wait for one session, so a different session is given up each time."""
    names = given_up(3, SaidShares({"us": 3, "gone": 0}), 7, monkeypatch)
    assert names[:6] == ["s0", "s1", "s2", "s0", "s1", "s2"]


@pytest.mark.parametrize(
    "count_by_holder", [{"us": 2}, {"us": 2, "other": 1}, {"us": 2, "other": 2, "third": 3}]
)
def test_a_fair_share_is_not_given_up(
    count_by_holder: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given_up(2, SaidShares(count_by_holder), 4, monkeypatch) == []


def test_no_session_is_given_up_while_the_holders_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_up(2, SaidShares({"us": 2, "other": 0}, failures=9), 5, monkeypatch) == []

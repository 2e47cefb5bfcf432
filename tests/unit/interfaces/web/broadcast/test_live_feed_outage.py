"""The live feed reports the database as unreachable only if a new connection fails."""

import asyncio
import threading
import time
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from application.ports.live_feed import LiveLogUnavailable, LiveUpdate
from interfaces.web.broadcast import feed, freshness
from tests.fakes.live_feed import FakeLiveLog
from tests.patience import ANSWER_S
from tests.unit.interfaces.web.live_feed_setup import running, until


class Stopped(FakeLiveLog):
    """Like a server after SIGSTOP: it closes no connection and answers nothing until it continues."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        self.goes_on.wait(ANSWER_S)
        return super().read_update(after, limit=limit)

    def check(self) -> None:
        self.goes_on.wait(ANSWER_S)


class DeadConnections(FakeLiveLog):
    """The server is reachable, but all earlier connections are dead."""

    are_dead = False
    checked = 0

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        self._require_alive()
        return super().read_update(after, limit=limit)

    def readings_stored_at(self) -> datetime | None:
        raise LiveLogUnavailable("this one is gone")

    def check(self) -> None:
        self.checked += 1

    def _require_alive(self) -> None:
        if self.are_dead:
            raise LiveLogUnavailable("the connection is gone")


def whoever_connects_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the time limit of new connections, which a slow machine may exceed. Reads of the log have one."""
    monkeypatch.setattr(feed, "_call_with_timeout", asyncio.to_thread)


def test_a_database_that_hangs_counts_as_unreachable_until_it_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "CALL_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        log = Stopped()
        async with running(log) as live:
            await live.received_until(0)
            log.goes_on.clear()
            try:
                await until(lambda: live.feed.state.is_away)
            finally:
                log.goes_on.set()
            await live.received_until(log.record())
            assert not live.feed.state.is_away

    asyncio.run(scenario())


class Slow(FakeLiveLog):
    """Each read takes longer than the time limit of the feed, but new connections are answered."""

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        time.sleep(0.2)
        return super().read_update(after, limit=limit)


def test_a_slow_database_counts_as_reachable_and_its_updates_are_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whoever_connects_is_answered(monkeypatch)
    monkeypatch.setattr(feed, "CALL_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        log, away = Slow(), list[bool]()
        async with running(log) as live:
            live.feed.state.away = lambda: away.append(True)  # type: ignore[method-assign]
            for _ in range(2):
                await live.received_until(log.record())
        assert away == []

    asyncio.run(scenario())


def test_a_database_with_dead_connections_counts_as_reachable_if_new_ones_work() -> None:
    async def scenario() -> None:
        log, away = DeadConnections(), list[bool]()
        async with running(log) as live:
            live.feed.state.away = lambda: away.append(True)  # type: ignore[method-assign]
            live.watcher()
            await live.received_until(log.record())
            log.are_dead = True
            await until(lambda: log.checked >= 3)
            log.are_dead = False
            await live.received_until(log.record())
        assert away == []

    asyncio.run(scenario())


class HangingConnection(Stopped):
    """The existing connection hangs, but new connections are answered."""

    def check(self) -> None: ...


class CannotBeRead(FakeLiveLog):
    """The log cannot be read, because of a lock or a damaged disk, but new connections are answered."""

    is_unreadable = False

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        if self.is_unreadable:
            raise LiveLogUnavailable("ordered not to be read")
        return super().read_update(after, limit=limit)


@pytest.mark.parametrize("how", ["one hangs alone", "the log cannot be read"])
def test_a_log_that_cannot_be_read_makes_the_state_stale_even_if_new_connections_work(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The test sets the monotonic clock, so that a slow machine makes nothing stale."""
    whoever_connects_is_answered(monkeypatch)
    if how == "one hangs alone":
        monkeypatch.setattr(feed, "CALL_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        hanging, unreadable = HangingConnection(), CannotBeRead()
        log: FakeLiveLog = hanging if how == "one hangs alone" else unreadable

        def break_it(*, broken: bool) -> None:
            unreadable.is_unreadable = broken
            (hanging.goes_on.clear if broken else hanging.goes_on.set)()

        async with running(log) as live:
            await live.received_until(0)
            state, told = live.feed.state, live.feed.current_state
            seconds = [state.now().monotonic]
            state._monotonic = lambda: seconds[0]
            await live.received_until(log.record())
            assert (told().stale, state.behind_s("portfolio")) == (False, 0.0)
            break_it(broken=True)
            seconds[0] += freshness.BEHIND_S + 1.0
            try:
                await until(
                    lambda: live.feed._published_state is not None and live.feed._published_state.stale
                )
                assert (told().reason, state.is_away) == ("database", False)
                assert state.behind_s("portfolio") >= freshness.BEHIND_S
                assert state.behind_s() == 0.0, "without a read model there is no lag"
            finally:
                break_it(broken=False)
            seconds[0] += 1.0
            await live.received_until(log.record())
            await until(lambda: not told().stale)

    with capture_logs() as logged:
        asyncio.run(scenario())
    warned = [entry for entry in logged if entry["log_level"] == "warning"]
    assert [entry["is_away"] for entry in warned] == [False], "logged once"

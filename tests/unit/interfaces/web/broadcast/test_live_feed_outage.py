"""When the live feed says that the database is away: where a new connection is not answered, whatever else fails."""

import asyncio
import threading
import time
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from application.ports.live_feed import LiveLogUnavailable, LiveUpdate
from interfaces.web.broadcast import feed, freshness
from tests.fakes.live_feed import FakeLiveLog
from tests.unit.interfaces.web.live_feed_setup import running, until


class Stopped(FakeLiveLog):
    """As a server after SIGSTOP: it closes nothing, and answers nothing until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        self.goes_on.wait(30)
        return super().read_update(after, limit=limit)

    def check(self) -> None:
        self.goes_on.wait(30)


class DeadConnections(FakeLiveLog):
    """The server is there, and all connections of before are not."""

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
    """In time, however long a slow machine takes to give it a thread. Looks at the log keep their bound."""
    monkeypatch.setattr(feed, "_call_with_timeout", asyncio.to_thread)


def test_a_database_that_hangs_is_away_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """It takes longer for each look than the feed waits, and answers who connects anew."""

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        time.sleep(0.2)
        return super().read_update(after, limit=limit)


def test_a_slow_database_is_not_away_and_its_updates_are_received(
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


def test_connections_that_died_close_no_door_while_a_new_one_is_answered() -> None:
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
    """The one connection that is asked, and who connects anew is answered."""

    def check(self) -> None: ...


class CannotBeRead(FakeLiveLog):
    """A lock on the table of the log, or a disk that has lost a part of it: who connects is answered."""

    is_unreadable = False

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        if self.is_unreadable:
            raise LiveLogUnavailable("ordered not to be read")
        return super().read_update(after, limit=limit)


@pytest.mark.parametrize("how", ["one hangs alone", "the log cannot be read"])
def test_a_log_that_cannot_be_read_makes_the_state_stale_though_new_connections_are_answered(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The monotonic clock is moved by hand, so that a slow machine makes nothing stale."""
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
                assert state.behind_s() == 0.0, "what is of no read model is not behind one"
            finally:
                break_it(broken=False)
            seconds[0] += 1.0
            await live.received_until(log.record())
            await until(lambda: not told().stale)

    with capture_logs() as logged:
        asyncio.run(scenario())
    warned = [entry for entry in logged if entry["log_level"] == "warning"]
    assert [entry["is_away"] for entry in warned] == [False], "once"

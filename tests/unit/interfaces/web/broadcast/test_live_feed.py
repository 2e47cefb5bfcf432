"""The live stream delivers each message once and in order, and no client delays another."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports.live_feed import SERVING, LiveLogUnavailable, LiveUpdate
from interfaces.web.broadcast import feed, ring_buffer, subscriber
from interfaces.web.broadcast.message import Audience
from interfaces.web.broadcast.subscriber import Subscriber
from tests.fakes.live_feed import FakeLiveLog, positions_of
from tests.open_alerts import begin_alert, end_alert
from tests.sizes import examples
from tests.unit.interfaces.web.edge import NOW
from tests.unit.interfaces.web.live_feed_setup import Parsed, RunningFeed, running, taken, until


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and chunks are so small that a short log has many of each."""
    for module, name, value in (
        (feed, "BATCH", 4),
        (subscriber, "BATCH", 4),
        (ring_buffer, "MAX_CHUNK", 3),
        (feed, "COALESCE_WINDOW_S", 0.0),
    ):
        monkeypatch.setattr(module, name, value)


def recorded(gaps: list[int]) -> FakeLiveLog:
    log = FakeLiveLog()
    for gap in gaps:
        log.record(gap=gap)
    return log


async def resumed(live: RunningFeed, after: int, until: int) -> Parsed:
    """Reconnects with the id of the last message, as a browser does."""
    parsed = Parsed(last_event_id=str(after))
    while not parsed.last_event_id or int(parsed.last_event_id) < until:
        watcher = live.watcher(after=int(parsed.last_event_id))
        await taken(watcher, until=until, parsed=parsed)
        live.feed.watchers.discard(watcher)
    return parsed


@settings(max_examples=examples(10))
@given(
    before=st.lists(st.integers(0, 2), min_size=1, max_size=25),
    later=st.lists(st.integers(0, 2), max_size=25),
    kept=st.integers(3, 12),
)
def test_a_stream_resumed_at_any_position_delivers_each_message_once(
    before: list[int], later: list[int], kept: int
) -> None:
    """Old messages come from the log, new ones from memory, and a stream may cross from one to the other."""

    async def scenario() -> None:
        log = recorded(before)
        async with running(log, heartbeat_s=0.0) as live:
            live.feed.ring = ring_buffer.RingBuffer(0, most=kept)
            for gap in later:
                log.record(gap=gap)
            for after in range(log.head + 1):
                parsed = await resumed(live, after, log.head)
                expected = [position for position in positions_of(log.log) if position > after]
                assert parsed.positions() == expected, after
                assert parsed.named("reset") == []

    asyncio.run(scenario())


def test_messages_recorded_during_a_catch_up_are_delivered_once() -> None:
    async def scenario() -> None:
        log = recorded([0] * 30)
        async with running(log, heartbeat_s=0.0) as live:
            await live.received_until(30)
            watcher, parsed = live.watcher(after=0), Parsed()
            async for piece in watcher.pieces():
                parsed.take(piece)
                if log.head < 60:
                    log.record()
                    await asyncio.sleep(0.003)
                elif parsed.last_event_id == "60":
                    break
            assert parsed.positions() == list(range(1, 61))

    asyncio.run(scenario())


def test_a_stream_without_a_position_starts_at_the_current_one() -> None:
    async def scenario() -> None:
        async with running(recorded([0] * 5)) as live:
            await live.received_until(5)
            watcher, parsed = live.watcher(), Parsed()
            pieces = watcher.pieces()
            for _ in range(2):
                parsed.take(await anext(pieces))
            assert (parsed.last_event_id, parsed.positions()) == ("5", [])
            live.log.record()
            while parsed.positions() != [6]:
                parsed.take(await anext(pieces))

    asyncio.run(scenario())


def test_a_domain_event_is_published_once_the_read_models_include_it() -> None:
    async def scenario() -> None:
        log = recorded([0] * 4)
        log.positions = dict.fromkeys(SERVING, 4) | {"dispatches": 2}
        async with running(log, heartbeat_s=0.0) as live:
            await live.received_until(2)
            watcher = live.watcher(after=0)
            parsed = await taken(watcher, until=2)
            assert parsed.positions() == [1, 2]
            log.positions["dispatches"] = 4
            assert (await resumed(live, 2, 4)).positions() == [3, 4]

    asyncio.run(scenario())


@pytest.mark.parametrize(("after", "reason"), [(0, "too_old"), (99, "ahead")])
def test_a_position_too_old_or_ahead_is_reported_and_the_stream_continues(
    monkeypatch: pytest.MonkeyPatch, after: int, reason: str
) -> None:
    monkeypatch.setattr(subscriber, "MAX_RESUMED", 5)

    async def scenario() -> None:
        async with running(recorded([0] * 10)) as live:
            await live.received_until(10)
            watcher, parsed = live.watcher(after=after), Parsed()
            pieces = watcher.pieces()
            for _ in range(2):
                parsed.take(await anext(pieces))
            assert parsed.named("reset") == [{"position": 10, "reason": reason}]
            assert parsed.last_event_id == "10"
            live.log.record()
            while parsed.positions() != [11]:
                parsed.take(await anext(pieces))

    asyncio.run(scenario())


def test_a_client_ahead_of_this_process_waits_and_receives_nothing_twice() -> None:
    async def scenario() -> None:
        log = recorded([0] * 6)
        log.positions = dict.fromkeys(SERVING, 3)
        async with running(log, heartbeat_s=0.0) as live:
            await live.received_until(3)
            watcher = live.watcher(after=5)
            watching = asyncio.create_task(taken(watcher, until=6))
            await asyncio.sleep(0.02)
            log.positions = {}
            parsed = await watching
            assert parsed.positions() == [6]
            assert parsed.named("reset") == []

    asyncio.run(scenario())


def test_a_log_that_became_shorter_resets_every_client() -> None:
    async def scenario() -> None:
        async with running(recorded([0] * 6), heartbeat_s=1_000) as live:
            await live.received_until(6)
            watcher, parsed = live.watcher(), Parsed()
            pieces = watcher.pieces()
            for _ in range(2):
                parsed.take(await anext(pieces))
            del live.log.log[3:]
            while not parsed.named("reset"):
                parsed.take(await anext(pieces))
            assert parsed.last_event_id == "3"

    asyncio.run(scenario())


def test_a_slow_client_is_disconnected_and_can_resume_at_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "CATCH_UP_S", 0.0)

    async def scenario() -> None:
        async with running() as live:
            await live.received_until(0)
            live.feed.ring = ring_buffer.RingBuffer(0, most=20)
            slow, parsed = live.watcher(), Parsed()
            pieces = slow.pieces()
            for _ in range(2):
                parsed.take(await anext(pieces))
            for _ in range(30):
                live.log.record()
            await live.received_until(30)
            async for piece in pieces:
                parsed.take(piece)
            assert slow.was_too_slow
            assert parsed.comments[-1].startswith("dropped")
            again = await resumed(live, int(parsed.last_event_id), 30)
            assert parsed.positions() + again.positions() == list(range(1, 31))

    asyncio.run(scenario())


def test_the_ring_buffer_does_not_grow_with_slow_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "CATCH_UP_S", 0.0)

    async def scenario() -> None:
        async with running() as live:
            await live.received_until(0)
            assert live.feed.ring is not None
            live.feed.ring = ring_buffer.RingBuffer(0, most=50)
            slow = [live.watcher() for _ in range(5)]
            begun = [watcher.pieces() for watcher in slow]
            for pieces in begun:
                await anext(pieces)
                await anext(pieces)
            for _ in range(500):
                live.log.record()
            await live.received_until(500)
            assert len(live.feed.ring._entries) == 50
            parsed = Parsed()
            for pieces in begun:
                async for piece in pieces:
                    parsed.take(piece)
            assert [watcher.was_too_slow for watcher in slow] == [True] * 5

    asyncio.run(scenario())


Ending = Callable[[RunningFeed, Subscriber], Awaitable[None]]


async def the_server_ends(live: RunningFeed, _: Subscriber) -> None:
    live.feed.end()


async def the_key_is_revoked(live: RunningFeed, watcher: Subscriber) -> None:
    watcher._check_at = 0.0
    live.log.record()


@pytest.mark.parametrize(
    ("ending", "said"), [(the_server_ends, "the server ends"), (the_key_is_revoked, "signed out")]
)
def test_a_stream_states_why_it_ends(ending: Ending, said: str) -> None:
    async def scenario() -> None:
        async with running() as live:
            watcher = live.watcher(may_stay=False)
            watching = asyncio.create_task(taken(watcher))
            await asyncio.sleep(0.02)
            await ending(live, watcher)
            assert (await watching).comments[-1].startswith(said)

    asyncio.run(scenario())


def test_an_unreachable_database_is_published_as_stale_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "STATE_EVERY_S", 0.0)

    async def scenario() -> None:
        async with running(recorded([0])) as live:
            await live.received_until(1)
            watcher, parsed = live.watcher(), Parsed()
            watching = asyncio.create_task(taken(watcher, until=3, parsed=parsed))
            await asyncio.sleep(0.01)
            live.log.is_down = True
            live.clock.moment = NOW + timedelta(seconds=30)
            await until(lambda: any(told["stale"] for told in parsed.named("state")))
            told = parsed.named("state")[-1]
            assert (told["reason"], told["age_s"]) == ("database", 30.0)
            live.log.record()
            live.log.record()
            live.log.is_down = False
            await watching
            assert parsed.positions() == [2, 3]

    asyncio.run(scenario())


class OneConnectionDies(FakeLiveLog):
    """The next read of the log fails, and no other."""

    is_broken = False

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        if self.is_broken:
            self.is_broken = False
            raise LiveLogUnavailable("the connection is gone")
        return super().read_update(after, limit=limit)


def test_the_loss_of_a_single_connection_is_no_database_outage() -> None:
    async def scenario() -> None:
        log, away = OneConnectionDies(), list[bool]()
        async with running(log) as live:
            live.feed.state.away = lambda: away.append(True)  # type: ignore[method-assign]
            log.is_broken = True
            await live.received_until(log.record())
            assert not log.is_broken
        assert away == []

    asyncio.run(scenario())


def test_read_models_that_are_behind_are_reported_with_their_age() -> None:
    async def scenario() -> None:
        log = recorded([0, 0])
        log.positions = dict.fromkeys(SERVING, 2) | {"portfolio": 1}
        async with running(log) as live:
            await live.received_until(1)
            live.clock.moment = NOW + timedelta(seconds=60)
            assert live.feed.current_state().reason == "projections"
            assert live.feed.current_state().age_s == 60.0
            assert live.feed.state.behind_s("portfolio", "dr_events") == 60.0
            assert live.feed.state.behind_s("dr_events") == 0.0

    asyncio.run(scenario())


def test_alerts_and_readings_are_published_to_those_who_may_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALERTS_EVERY_S", "TELEMETRY_EVERY_S"):
        monkeypatch.setattr(feed, name, 0.0)

    async def scenario() -> None:
        async with running() as live:
            await live.received_until(0)
            begin_alert(live.alerts, "bms_slow", "fac-001", "slow", at=NOW)
            no_names: dict[str, list[str]] = {"raised": [], "cleared": []}
            both = [live.watcher(), live.watcher(audience=Audience(sees_alerts=False))]
            found = [Parsed(), Parsed()]
            watching = [
                asyncio.create_task(taken(watcher, parsed=parsed))
                for watcher, parsed in zip(both, found, strict=True)
            ]
            await until(lambda: found[0].named("alert") == [{"open": 1, **no_names}])
            begin_alert(live.alerts, "batch_below_80_percent", "E-1", "few", at=NOW)
            end_alert(live.alerts, "bms_slow", "fac-001", at=NOW)
            live.log.stored_at = NOW
            await until(lambda: bool(found[1].named("telemetry")))
            await until(lambda: any(told["cleared"] for told in found[0].named("alert")))
            live.feed.end()
            await asyncio.gather(*watching)
            assert found[1].named("alert") == []
            assert found[1].named("telemetry") == [{"stored_at": NOW.isoformat().replace("+00:00", "Z")}]
            raised = [one for told in found[0].named("alert") for one in told["raised"]]
            cleared = [one for told in found[0].named("alert") for one in told["cleared"]]
            assert raised == [{"name": "batch_below_80_percent", "subject": "E-1"}]
            assert cleared == [{"name": "bms_slow", "subject": "fac-001"}]

    asyncio.run(scenario())


@settings(max_examples=examples(20))
@given(steps=st.lists(st.sampled_from(["log", "raise", "clear"]), max_size=12), kept=st.integers(1, 8))
def test_a_client_knows_the_number_of_open_alerts_after_connecting_at_any_position(
    steps: list[str], kept: int
) -> None:
    """Also if the change was sent right after that position, or is no longer retained."""

    async def scenario() -> None:
        opened: list[str] = []
        async with running(heartbeat_s=1_000) as live:
            live.feed._is_due = lambda *_: True  # type: ignore[method-assign]
            await live.received_until(0)
            live.feed.ring = ring_buffer.RingBuffer(0, most=kept)
            live.watcher()  # the feed checks the alerts only while it has subscribers
            await until(lambda: _subjects(live) == set())
            for number, step in enumerate(steps):
                if step == "log":
                    await live.received_until(live.log.record())
                elif step == "raise":
                    opened.append(f"fac-{number}")
                    begin_alert(live.alerts, "bms_slow", opened[-1], "slow", at=NOW)
                elif opened:
                    end_alert(live.alerts, "bms_slow", opened.pop(), at=NOW)
                await until(lambda: _subjects(live) == set(opened))
            for after in (None, *range(live.log.head + 1)):
                parsed = await caught_up(live, after)
                assert parsed.named("alert")[-1]["open"] == len(opened), after
                if after is not None:
                    assert parsed.positions() == list(range(after + 1, live.log.head + 1))

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(feed, "ALERTS_EVERY_S", 0.0)
        asyncio.run(scenario())


def _subjects(live: RunningFeed) -> set[str] | None:
    """The subjects of the open alerts as last published by the feed."""
    known = live.feed.unlogged._open
    return None if known is None else {alert.subject for alert in known}


async def caught_up(live: RunningFeed, after: int | None) -> Parsed:
    """The messages for a client until it has caught up."""
    watcher, ring = live.watcher(after=after), live.feed.ring
    watching = asyncio.create_task(taken(watcher))
    await until(lambda: ring is not None and watcher.cursor == ring.last)
    watcher.leave()
    live.feed.watchers.discard(watcher)
    return await watching


def test_a_filtered_stream_has_only_its_messages_and_its_position_follows_the_log() -> None:
    async def scenario() -> None:
        dr_event_id = uuid4()
        log = FakeLiveLog()
        async with running(log, heartbeat_s=0.0) as live:
            await live.received_until(0)
            audience = Audience(only_dr_event_id=dr_event_id)
            watcher, parsed = live.watcher(audience=audience), Parsed()
            watching = asyncio.create_task(taken(watcher, until=9, parsed=parsed))
            for number in range(9):
                log.record(dr_event_id=dr_event_id if number % 3 == 0 else uuid4())
            await watching
            assert parsed.positions() == [1, 4, 7]
            assert parsed.last_event_id == "9"

    asyncio.run(scenario())


def test_an_unexpected_error_does_not_end_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RESTART_AFTER_S", 0.0)

    async def scenario() -> None:
        log = FakeLiveLog()
        asked, real = [0], log.read_update

        def breaking(after: int | None, *, limit: int) -> object:
            asked[0] += 1
            if asked[0] == 2:
                raise RuntimeError("a defect")
            return real(after, limit=limit)

        monkeypatch.setattr(log, "read_update", breaking)
        async with running(log) as live:
            await live.received_until(0)
            log.record()
            await live.received_until(1)
            assert asked[0] > 2

    asyncio.run(scenario())

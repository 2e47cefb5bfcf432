"""Keys end: at their time, also where they are cached or a session stands for them (M10)."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from application.access.api_keys import issue, rotate
from interfaces.web.authentication.api_key import WRITES_AT_ONCE, Authenticator, KeyUses
from interfaces.web.problems import Problem
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.clock import FakeClock
from tests.patience import ANSWER_S

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


def entropy(seed: int) -> bytes:
    return (sha256(bytes([seed])).digest() + bytes([seed]) * 6)[:38]


def test_an_expired_key_is_refused_although_it_is_cached() -> None:
    keys, clock = FakeApiKeys(), FakeClock(AT)
    issued = issue(keys, role="admin", expires_at=AT + timedelta(seconds=2), at=AT, entropy=entropy(1))
    header = f"Bearer {issued.token}"

    async def scenario() -> None:
        authenticator = Authenticator(keys, now=clock.now)
        assert (await authenticator.principal(header)).key_id == issued.api_key.key_id
        asked = keys.asked
        clock.advance(seconds=2)
        with pytest.raises(Problem):
            await authenticator.principal(header)
        with pytest.raises(Problem):
            await authenticator.key_in_force(issued.api_key.key_id)
        assert keys.asked == asked, "the cached key itself says when it ends"

    asyncio.run(scenario())


def test_both_keys_work_during_the_overlap() -> None:
    keys, clock = FakeApiKeys(), FakeClock(AT)
    old = issue(keys, role="utility", utility_id="util-1", at=AT, entropy=entropy(2))
    new = rotate(keys, old.api_key.key_id, overlap=timedelta(hours=1), at=AT, entropy=entropy(3))

    async def works(token: str) -> bool:
        try:
            await Authenticator(keys, now=clock.now).principal(f"Bearer {token}")
        except Problem:
            return False
        return True

    assert asyncio.run(works(old.token))
    assert asyncio.run(works(new.token))
    clock.advance(hours=1)
    assert not asyncio.run(works(old.token))
    assert asyncio.run(works(new.token))


class NotedKeys(FakeApiKeys):
    """Keeps when the notes were written, and how many were being written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = list[datetime]()
        self.writing = self.most_writing = 0
        self._counting = threading.Lock()
        self.may_write = threading.Event()
        self.may_write.set()

    def note_use(self, key_id: str, *, at: datetime) -> None:
        with self._counting:
            self.writing += 1
            self.most_writing = max(self.most_writing, self.writing)
        assert self.may_write.wait(ANSWER_S)
        with self._counting:
            self.writing -= 1
            self.notes.append(at)
        super().note_use(key_id, at=at)


async def written(uses: KeyUses) -> None:
    async with asyncio.timeout(ANSWER_S):
        while uses._writing:  # noqa: ASYNC110 - until the notes are written
            await asyncio.sleep(0.001)


def test_the_last_use_is_written_once_an_hour() -> None:
    keys, clock, seconds = NotedKeys(), FakeClock(AT), [0.0]
    issued = issue(keys, role="admin", at=AT, entropy=entropy(4))

    async def scenario() -> None:
        authenticator = Authenticator(keys, now=clock.now, monotonic=lambda: seconds[0])
        for passed in (0.0, 10.0, 3_599.0, 3_601.0):
            seconds[0] = passed
            clock.moment = AT + timedelta(seconds=passed)
            await authenticator.principal(f"Bearer {issued.token}")
            await written(authenticator._uses)

    asyncio.run(scenario())
    assert keys.notes == [AT, AT + timedelta(seconds=3_601)]
    assert keys.listed()[0].last_used_at == keys.notes[-1]


def test_uses_hold_few_threads_and_none_while_the_store_is_away() -> None:
    keys, away = NotedKeys(), [False]

    async def scenario() -> None:
        uses = KeyUses(keys, now=lambda: AT, is_away=lambda: away[0], monotonic=lambda: 0.0)
        keys.may_write.clear()
        for number in range(4 * WRITES_AT_ONCE):
            uses.note(f"key-{number}")
        async with asyncio.timeout(ANSWER_S):
            while keys.writing < WRITES_AT_ONCE:  # noqa: ASYNC110 - until as many as may are being written
                await asyncio.sleep(0.001)
        away[0] = True
        uses.note("one more")
        keys.may_write.set()
        await written(uses)
        assert (len(keys.notes), keys.most_writing) == (WRITES_AT_ONCE, WRITES_AT_ONCE)
        away[0] = False
        for number in range(4 * WRITES_AT_ONCE):
            uses.note(f"key-{number}")
        uses.note("one more")
        await written(uses)

    asyncio.run(scenario())
    assert len(keys.notes) == 4 * WRITES_AT_ONCE + 1, "what was left out is made up for by the next use"

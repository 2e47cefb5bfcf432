"""Keys end: at their time, also where they are cached or a session stands for them (M10)."""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from application.access.api_keys import issue, rotate
from application.operations.recorded_migrations import record_migrations
from application.ports.operations.act_log import AppliedMigration
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.problems import Problem
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.clock import FakeClock
from tests.fakes.operations.act_log import FakeActLog

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
        assert authenticator.cached(header) is not None
        clock.advance(seconds=2)
        assert authenticator.cached(header) is None
        with pytest.raises(Problem):
            await authenticator.principal(header)
        with pytest.raises(Problem):
            await authenticator.key_in_force(issued.api_key.key_id)

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


def test_the_last_use_is_written_once_an_hour() -> None:
    keys, clock, seconds = FakeApiKeys(), FakeClock(AT), [0.0]
    issued = issue(keys, role="admin", at=AT, entropy=entropy(4))

    async def scenario() -> None:
        authenticator = Authenticator(keys, now=clock.now, monotonic=lambda: seconds[0])
        for passed in (0.0, 10.0, 3_599.0, 3_600.0):
            seconds[0] = passed
            clock.moment = AT + timedelta(seconds=passed)
            await authenticator.principal(f"Bearer {issued.token}")
            async with asyncio.timeout(10):
                while authenticator._uses._writing:  # noqa: ASYNC110 - until the note is written
                    await asyncio.sleep(0.001)
            uses.append(keys.listed()[0].last_used_at)

    uses: list[datetime | None] = []
    asyncio.run(scenario())
    assert uses == [AT, AT, AT, AT]
    keys.note_use(issued.api_key.key_id, at=AT + timedelta(seconds=3_601))
    assert keys.listed()[0].last_used_at == AT + timedelta(seconds=3_601)


def test_migrations_of_a_running_system_are_recorded_once() -> None:
    log = FakeActLog(
        [
            AppliedMigration("0001_a.sql", AT),
            AppliedMigration("0002_b.sql", AT + timedelta(seconds=1)),
            AppliedMigration("0022_c.sql", AT + timedelta(days=9)),
        ]
    )
    assert record_migrations(log, FakeClock(AT + timedelta(days=10))) == 1
    assert record_migrations(log, FakeClock(AT + timedelta(days=11))) == 0
    assert [act.migration for act in log.recorded.values()] == ["0022_c.sql"]

"""The contract of UsedSignatures: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.used_signatures import PRUNE_EVERY_S, PostgresUsedSignatures
from application.access.signature import TOLERANCE_S
from application.operations.clock_monitor import MAX_SKEW_S
from application.ports.access.used_signatures import KEPT_S, UsedSignatures
from tests.fakes.access.used_signatures import FakeUsedSignatures

ONE, OTHER = sha256(b"one").digest(), sha256(b"other").digest()


class UsedSetting(NamedTuple):
    used: UsedSignatures
    pass_s: Callable[[float], None]
    """Lets wall seconds pass."""


@pytest.fixture(params=["fake", "postgres"])
def setting(request: pytest.FixtureRequest) -> Iterator[UsedSetting]:
    if request.param == "fake":
        fake = FakeUsedSignatures()

        def pass_s(seconds: float) -> None:
            fake.now_s += seconds

        yield UsedSetting(fake, pass_s)
        return
    database = request.getfixturevalue("database")
    now = [0.0]

    def backdate(seconds: float) -> None:
        now[0] += PRUNE_EVERY_S
        with psycopg.connect(database.admin_dsn) as connection:
            connection.execute(
                "UPDATE gridproof.used_signatures SET used_at = used_at - make_interval(secs => %s)",
                (seconds,),
            )

    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=8) as pool:
        yield UsedSetting(PostgresUsedSignatures(pool, monotonic=lambda: now[0]), backdate)


def test_a_signature_serves_one_request_and_its_repeats(setting: UsedSetting) -> None:
    assert setting.used.claim("util-1", ONE, ONE)
    assert setting.used.claim("util-1", ONE, ONE)
    assert not setting.used.claim("util-1", ONE, OTHER)
    assert setting.used.claim("util-1", ONE, ONE)


def test_signatures_are_those_of_one_utility(setting: UsedSetting) -> None:
    assert setting.used.claim("util-1", ONE, ONE)
    assert setting.used.claim("util-2", ONE, OTHER)
    assert setting.used.claim("util-1", OTHER, OTHER)


def test_of_many_requests_at_once_one_gets_the_signature(setting: UsedSetting) -> None:
    requests = [sha256(bytes([number])).digest() for number in range(16)]
    with ThreadPoolExecutor(8) as executor:
        claimed = list(executor.map(lambda request: setting.used.claim("util-1", ONE, request), requests))
    assert sum(claimed) == 1


def test_a_signature_is_stored_for_longer_than_it_is_accepted(setting: UsedSetting) -> None:
    assert KEPT_S >= 2 * TOLERANCE_S + 2 * MAX_SKEW_S
    assert setting.used.claim("util-1", ONE, ONE)
    setting.pass_s(KEPT_S - 60)
    assert not setting.used.claim("util-1", ONE, OTHER)
    setting.pass_s(61)
    assert setting.used.claim("util-1", ONE, OTHER)

"""The contract of Sessions."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.access.sessions import PostgresSessions
from application.access import sessions as rules
from application.access.sessions import new_token, token_hash
from application.ports.access.api_keys import ApiKey, ApiKeysUnavailable, StoredApiKey
from application.ports.access.sessions import Sessions
from tests.contract.access.test_api_keys import act_of
from tests.fakes.access.sessions import FakeSessions
from tests.servers import Database, PostgresServer

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
KEY, OTHER = "abcdef012345", "abcdef012346"


class SessionSetting(NamedTuple):
    sessions: Sessions
    database: Database | None


@pytest.fixture(params=["fake", "postgres"])
def setting(request: pytest.FixtureRequest) -> Iterator[SessionSetting]:
    if request.param == "fake":
        yield SessionSetting(FakeSessions(), None)
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4) as pool:
        for key_id in (KEY, OTHER):
            key = ApiKey(key_id=key_id, role="admin", created_at=AT)
            stored = StoredApiKey(api_key=key, secret_hash=bytes(32))
            PostgresApiKeys(pool).add(stored, act_of(key_id))
        yield SessionSetting(PostgresSessions(pool), database)


def hashed(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()


def test_a_session_is_looked_up_by_its_token(setting: SessionSetting) -> None:
    begun = setting.sessions.begin(hashed(1), KEY, lasts_s=60)
    assert begun.key_id == KEY
    assert 59 < begun.lasts_s <= 60
    found = setting.sessions.among([hashed(1)])[hashed(1)]
    assert (found.key_id, found.expires_at) == (KEY, begun.expires_at)
    assert 0 < found.lasts_s <= 60
    assert not setting.sessions.among([hashed(2)])


def test_many_sessions_are_looked_up_at_once_by_token(setting: SessionSetting) -> None:
    for number in range(20):
        setting.sessions.begin(hashed(number), (KEY, OTHER)[number % 2], lasts_s=60)
    found = setting.sessions.among([hashed(number) for number in range(5, 30)])
    assert {name: session.key_id for name, session in found.items()} == {
        hashed(number): (KEY, OTHER)[number % 2] for number in range(5, 20)
    }
    assert not setting.sessions.among([])


def test_an_ended_session_is_absent_and_ending_again_changes_nothing(setting: SessionSetting) -> None:
    setting.sessions.begin(hashed(1), KEY, lasts_s=60)
    setting.sessions.begin(hashed(2), KEY, lasts_s=60)
    setting.sessions.begin(hashed(3), KEY, lasts_s=-1)
    setting.sessions.end(hashed(1))
    setting.sessions.end(hashed(1))
    found = [hashed(number) in setting.sessions.among([hashed(number)]) for number in (1, 2, 3)]
    assert found == [False, True, False]


def test_the_oldest_session_is_removed_if_a_key_has_too_many(
    setting: SessionSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("adapters.postgres.access.sessions", "tests.fakes.access.sessions"):
        monkeypatch.setattr(f"{module}.MAX_SESSIONS_PER_KEY", 3)
    setting.sessions.begin(hashed(100), OTHER, lasts_s=1)
    for number in range(5):
        setting.sessions.begin(hashed(number), KEY, lasts_s=60 + number)
    found = setting.sessions.among([hashed(number) for number in (*range(5), 100)])
    assert set(found) == {hashed(number) for number in (2, 3, 4, 100)}


def test_a_token_is_random_and_identified_by_its_hash() -> None:
    token = new_token(bytes(range(32)))
    assert len(token) == rules.TOKEN_LENGTH
    assert token_hash(token) == sha256(token.encode()).digest()
    with pytest.raises(ValueError, match="32 random bytes"):
        new_token(b"short")


@pytest.mark.parametrize("token", ["", "gps_", "gps_" + "é" * 43, "gpk_" + "a" * 43, "gps_" + "a" * 5_000])
def test_an_invalid_token_is_not_looked_up(token: str) -> None:
    assert token_hash(token) is None


def test_the_application_role_cannot_extend_a_session(database: Database) -> None:
    with (
        psycopg.connect(database.app_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE sessions SET expires_at = expires_at + interval '1 day'")


def test_an_unavailable_database_is_reported(postgres_server: PostgresServer, database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, timeout=1.0) as pool:
        pool.wait()
        postgres_server.kill()
        with pytest.raises(ApiKeysUnavailable):
            PostgresSessions(pool).among([hashed(1)])
        postgres_server.start()

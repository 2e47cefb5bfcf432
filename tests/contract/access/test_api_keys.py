"""The contract of ApiKeys."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.api_keys import PostgresApiKeys
from application.access.api_keys import InvalidApiKeyScope, is_genuine, issue, parse_token
from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeys,
    ApiKeysUnavailable,
    ApiKeyTaken,
    StoredApiKey,
)
from tests.fakes.access.api_keys import FakeApiKeys
from tests.servers import Database, PostgresServer

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def api_keys(request: pytest.FixtureRequest) -> Iterator[ApiKeys]:
    if request.param == "fake":
        yield FakeApiKeys()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4) as pool:
        yield PostgresApiKeys(pool)


def entropy(seed: int) -> bytes:
    return b"".join(sha256(bytes([seed, part])).digest() for part in range(2))[:38]


def test_find_returns_an_issued_key_and_its_secret_is_genuine(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="utility", utility_id="util-1", at=AT, entropy=entropy(1))
    parsed = parse_token(issued.token)
    assert parsed is not None
    stored = api_keys.find(parsed[0])
    assert stored is not None
    assert stored.api_key == issued.api_key
    assert is_genuine(stored, parsed[1])
    assert not is_genuine(stored, parsed[1] + "x")


def test_the_secret_is_not_stored(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="admin", at=AT, entropy=entropy(2))
    secret = issued.token.split("_", 2)[2]
    stored = api_keys.find(issued.api_key.key_id)
    assert stored is not None
    assert stored.secret_hash == sha256(secret.encode()).digest()
    assert secret not in repr(stored)


def test_find_returns_none_for_an_absent_key(api_keys: ApiKeys) -> None:
    assert api_keys.find("no-such-key") is None
    assert api_keys.among(["no-such-key"]) == api_keys.among([]) == {}


def test_keys_are_listed_oldest_first(api_keys: ApiKeys) -> None:
    later = issue(api_keys, role="operator", at=AT + timedelta(hours=1), entropy=entropy(3))
    first = issue(api_keys, role="dashboard", facility_id="fac-001", at=AT, entropy=entropy(4))
    assert api_keys.listed() == [first.api_key, later.api_key]


def test_a_duplicate_id_is_refused(api_keys: ApiKeys) -> None:
    key = ApiKey(key_id="abcdef012345", role="admin", created_at=AT)
    api_keys.add(StoredApiKey(api_key=key, secret_hash=bytes(32)))
    with pytest.raises(ApiKeyTaken):
        api_keys.add(StoredApiKey(api_key=key, secret_hash=b"1" * 32))
    stored = api_keys.find(key.key_id)
    assert stored is not None
    assert stored.secret_hash == bytes(32)


def test_a_revoked_key_stays_listed_but_is_not_genuine(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="auditor", at=AT, entropy=entropy(5))
    secret = issued.token.split("_", 2)[2]
    revoked = api_keys.revoke(issued.api_key.key_id, at=AT + timedelta(days=1))
    assert revoked.revoked_at == AT + timedelta(days=1)
    stored = api_keys.find(issued.api_key.key_id)
    assert stored is not None
    assert stored.api_key == revoked
    assert not is_genuine(stored, secret)


def test_a_second_revocation_does_not_change_the_time_of_the_first(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="auditor", at=AT, entropy=entropy(6))
    api_keys.revoke(issued.api_key.key_id, at=AT + timedelta(days=1))
    again = api_keys.revoke(issued.api_key.key_id, at=AT + timedelta(days=2))
    assert again.revoked_at == AT + timedelta(days=1)


def test_revoking_an_unknown_key_is_refused(api_keys: ApiKeys) -> None:
    with pytest.raises(ApiKeyNotFound):
        api_keys.revoke("no-such-key", at=AT)


@pytest.mark.parametrize(
    ("role", "utility_id", "facility_id"),
    [
        ("utility", None, None),
        ("operator", "util-1", None),
        ("utility", "util-1", "fac-1"),
        ("admin", None, "fac-1"),
    ],
)
def test_a_scope_that_does_not_fit_the_role_is_refused(
    api_keys: ApiKeys, role: str, utility_id: str | None, facility_id: str | None
) -> None:
    with pytest.raises(InvalidApiKeyScope):
        issue(
            api_keys,
            role=role,  # type: ignore[arg-type]  # from the table above
            utility_id=utility_id,
            facility_id=facility_id,
            at=AT,
            entropy=entropy(7),
        )
    assert api_keys.listed() == []


@pytest.mark.parametrize(
    "token",
    [
        "",
        "gpk",
        "gpk_",
        "gpk_abcdef012345",
        "gpk_abcdef012345_",
        "xyz_abcdef012345_s",
        "gpk_abc_s",
        "gpk_../../etc/pa_s",
    ],
)
def test_an_invalid_token_is_not_looked_up(token: str) -> None:
    assert parse_token(token) is None


def test_the_application_role_cannot_change_or_remove_a_key(database: Database) -> None:
    with psycopg.connect(database.app_dsn, autocommit=True) as connection:
        for statement in ("DELETE FROM api_keys", "UPDATE api_keys SET role = 'admin'", "TRUNCATE api_keys"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_an_unavailable_database_is_reported(postgres_server: PostgresServer, database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, timeout=1.0) as pool:
        pool.wait()
        api_keys = PostgresApiKeys(pool)
        postgres_server.kill()
        with pytest.raises(ApiKeysUnavailable):
            api_keys.find("abcdef012345")
        postgres_server.start()


def test_among_returns_many_keys_by_id(api_keys: ApiKeys) -> None:
    issued = [issue(api_keys, role="operator", at=AT, entropy=entropy(number)) for number in (31, 32, 33)]
    ids = [one.api_key.key_id for one in issued]
    found = api_keys.among([*ids[:2], "no-such-key", ids[0]])
    assert set(found) == set(ids[:2])
    for key_id, stored in found.items():
        assert stored == api_keys.find(key_id)
    for one, key_id in zip(issued, ids, strict=True):
        secret = (parse_token(one.token) or ("", ""))[1]
        assert [is_genuine(stored, secret) for stored in found.values()] == [name == key_id for name in found]

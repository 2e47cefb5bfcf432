"""The contract of ApiKeys."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.api_keys import PostgresApiKeys
from application.access.api_keys import InvalidApiKeyScope, issue, parse_token, revoke, rotate
from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeyNotValid,
    ApiKeys,
    ApiKeysUnavailable,
    ApiKeyTaken,
    StoredApiKey,
)
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
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


def act_of(key_id: str) -> AdministrativeAct:
    provenance = Provenance(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=1),
        actor="system",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=AT,
    )
    return AdministrativeAct.issue_key(provenance, key_id=key_id, role="admin")


def entropy(seed: int) -> bytes:
    return b"".join(sha256(bytes([seed, part])).digest() for part in range(2))[:38]


def test_find_returns_an_issued_key_and_its_secret_is_genuine(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="utility", utility_id="util-1", at=AT, entropy=entropy(1))
    parsed = parse_token(issued.token)
    assert parsed is not None
    stored = api_keys.find(parsed[0])
    assert stored is not None
    assert stored.api_key == issued.api_key
    assert stored.is_genuine(parsed[1], at=AT)
    assert not stored.is_genuine(parsed[1] + "x", at=AT)


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
    last = issue(
        api_keys, role="owner", facility_id="fac-001", at=AT + timedelta(hours=2), entropy=entropy(5)
    )
    assert api_keys.listed() == [first.api_key, later.api_key, last.api_key]
    assert api_keys.listed(limit=2) == [first.api_key, later.api_key]
    assert api_keys.listed(after=(AT, first.api_key.key_id), limit=1) == [later.api_key]
    assert api_keys.listed(after=(last.api_key.created_at, last.api_key.key_id)) == []


def test_a_duplicate_id_is_refused(api_keys: ApiKeys) -> None:
    key = ApiKey(key_id="abcdef012345", role="admin", created_at=AT)
    api_keys.add(StoredApiKey(api_key=key, secret_hash=bytes(32)), act_of("abcdef012345"))
    with pytest.raises(ApiKeyTaken):
        api_keys.add(StoredApiKey(api_key=key, secret_hash=b"1" * 32), act_of("another"))
    stored = api_keys.find(key.key_id)
    assert stored is not None
    assert stored.secret_hash == bytes(32)


def test_a_revoked_key_stays_listed_but_is_not_genuine(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="auditor", at=AT, entropy=entropy(5))
    secret = issued.token.split("_", 2)[2]
    revoked = revoke(api_keys, issued.api_key.key_id, at=AT + timedelta(days=1))
    assert revoked.revoked_at == AT + timedelta(days=1)
    stored = api_keys.find(issued.api_key.key_id)
    assert stored is not None
    assert stored.api_key == revoked
    assert not stored.is_genuine(secret, at=AT)


def test_a_second_revocation_does_not_change_the_time_of_the_first(api_keys: ApiKeys) -> None:
    issued = issue(api_keys, role="auditor", at=AT, entropy=entropy(6))
    revoke(api_keys, issued.api_key.key_id, at=AT + timedelta(days=1))
    again = revoke(api_keys, issued.api_key.key_id, at=AT + timedelta(days=2))
    assert again.revoked_at == AT + timedelta(days=1)


def test_revoking_an_unknown_key_is_refused(api_keys: ApiKeys) -> None:
    with pytest.raises(ApiKeyNotFound):
        revoke(api_keys, "no-such-key", at=AT)


@pytest.mark.parametrize(
    ("role", "utility_id", "facility_id"),
    [
        ("utility", None, None),
        ("operator", "util-1", None),
        ("utility", "util-1", "fac-1"),
        ("admin", None, "fac-1"),
        ("owner", None, None),
        ("owner", "util-1", "fac-1"),
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
        assert [stored.is_genuine(secret, at=AT) for stored in found.values()] == [
            name == key_id for name in found
        ]


def test_name_end_and_last_use_are_stored(api_keys: ApiKeys) -> None:
    issued = issue(
        api_keys, role="admin", name="ci", expires_at=AT + timedelta(days=1), at=AT, entropy=entropy(41)
    )
    key_id = issued.api_key.key_id
    for minutes in (1, 30, 62):
        api_keys.note_use(key_id, at=AT + timedelta(minutes=minutes))
    api_keys.note_use("no-such-key", at=AT)
    [key] = api_keys.listed()
    assert (key.name, key.expires_at) == ("ci", AT + timedelta(days=1))
    assert key.last_used_at == AT + timedelta(minutes=62)
    api_keys.forget_name(key_id)
    assert api_keys.listed()[0].name is None
    with pytest.raises(ApiKeyNotFound):
        api_keys.forget_name("no-such-key")


def test_a_rotated_key_works_until_the_end_of_the_overlap(api_keys: ApiKeys) -> None:
    old = issue(api_keys, role="utility", utility_id="util-1", name="webhook", at=AT, entropy=entropy(42))
    new = rotate(api_keys, old.api_key.key_id, overlap=timedelta(hours=2), at=AT, entropy=entropy(43))
    again = rotate(api_keys, old.api_key.key_id, overlap=timedelta(hours=9), at=AT, entropy=entropy(44))
    stored = api_keys.among([one.api_key.key_id for one in (old, new, again)])
    secret = (parse_token(old.token) or ("", ""))[1]
    assert stored[old.api_key.key_id].is_genuine(secret, at=AT + timedelta(minutes=119))
    assert not stored[old.api_key.key_id].is_genuine(secret, at=AT + timedelta(minutes=120))
    for one in (new, again):
        key = stored[one.api_key.key_id].api_key
        assert (key.role, key.utility_id, key.name) == ("utility", "util-1", "webhook")
        assert (key.replaces, key.expires_at) == (old.api_key.key_id, None)


@pytest.mark.parametrize("meanwhile", ["revoked", "expired", "rotated"])
def test_a_key_that_ended_since_it_was_read_is_not_rotated(api_keys: ApiKeys, meanwhile: str) -> None:
    """Only the store can tell: whoever rotates has read the key before."""
    expires_at = AT + timedelta(hours=1) if meanwhile == "expired" else None
    key_id = issue(api_keys, role="admin", expires_at=expires_at, at=AT, entropy=entropy(46)).api_key.key_id
    if meanwhile == "revoked":
        revoke(api_keys, key_id, at=AT)
    elif meanwhile == "rotated":
        rotate(api_keys, key_id, overlap=timedelta(hours=2), at=AT, entropy=entropy(47))
    before = api_keys.listed()
    successor = ApiKey(key_id="b" * 12, role="admin", created_at=AT + timedelta(hours=1), replaces=key_id)
    with pytest.raises(ApiKeyNotValid):
        api_keys.rotate(
            key_id,
            StoredApiKey(api_key=successor, secret_hash=bytes(32)),
            until=AT + timedelta(hours=9),
            acts=[act_of("b" * 12)],
        )
    assert api_keys.listed() == before


def test_an_unknown_key_is_not_rotated(api_keys: ApiKeys) -> None:
    with pytest.raises(ApiKeyNotFound):
        rotate(api_keys, "no-such-key", overlap=timedelta(0), at=AT, entropy=entropy(45))


@pytest.mark.parametrize(
    ("role", "facility_id"),
    [("owner", None), ("operator", "fac-001"), ("utility", "fac-001"), ("janitor", None)],
)
def test_the_database_takes_no_key_whose_facility_does_not_fit_its_role(
    database: Database, role: str, facility_id: str | None
) -> None:
    with psycopg.connect(database.app_dsn) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO gridproof.api_keys (key_id, role, utility_id, facility_id, secret_hash, created_at) "
            "VALUES ('abcdef012345', %s, %s, %s, %s, now())",
            (role, "util-1" if role == "utility" else None, facility_id, bytes(32)),
        )

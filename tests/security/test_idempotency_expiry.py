"""Idempotency keys end, while the application's role can still delete none (M6)."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from interfaces.workers.watch import idempotency_expiry
from interfaces.workers.watch.idempotency_expiry import IdempotencyKeyExpiry
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.idempotency_retention import FakeIdempotencyRetention
from tests.servers import Database


def test_keys_of_requests_end_after_the_days_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = FakeIdempotencyRetention()
    monkeypatch.setattr(idempotency_expiry, "MOST", 5)
    for number in range(12):
        keys.store(f"old-{number}")
    keys.carried_out = keys.head
    keys.drop(timedelta(days=7), most=0)
    keys.age(8)
    keys.store("new")
    expiry = IdempotencyKeyExpiry(keys=keys, days=7, clock=FakeClock())

    async def rounds() -> None:
        while await expiry.round() == 0.0:
            pass

    asyncio.run(rounds())
    assert keys.keys() == ["new"]


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM gridproof.idempotency_keys", "DELETE FROM gridproof.log_head_samples"],
)
def test_the_role_of_the_application_can_delete_no_key(database: Database, statement: str) -> None:
    with (
        psycopg.connect(database.app_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)

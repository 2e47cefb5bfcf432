"""Reads of a standby with its lag, and reads of the primary if the standby is away or lags too far behind."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread

import pytest

from adapters.postgres.connection.dsn import for_reading
from adapters.postgres.connection.pool import FastReconnectPool
from adapters.postgres.read_model import replica
from adapters.postgres.read_model.replica import ReplicaReadModels, replica_pool
from adapters.postgres.read_model.view import read_connection
from projections.facility import key_of
from projections.queries.views import ReadModelsUnavailable
from tests.integration.projections.replica_pair import (
    PATIENCE_S,
    Pair,
    gone,
    killed,
    looked_at,
    read_from,
    receives,
    until,
)
from tests.postgres_pair import postgres_pair
from tests.servers import suspended


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with postgres_pair() as servers, ExitStack() as stack:
        yield Pair(servers, stack)


def test_a_replica_is_read_from_says_its_lag_and_is_done_without(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test, since each part continues with the servers as the previous one left them."""
    monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(replica, "RETRY_AFTER_S", 0.2)
    assert pair.models.source().name == "primary", "nothing is known of it yet"
    pair.register("fac-001")
    until(lambda: pair.listed() == ["fac-001"], "the replica follows")
    until(lambda: pair.models.source().name == "replica", "it is read from")

    pair.replay(paused=True)
    pair.register("fac-002")
    assert pair.listed() == ["fac-001"], "it is the replica that answers"
    assert pair.models.facilities.get(key_of("fac-002")) is not None, "one not there yet is looked for"
    until(lambda: bool(pair.listed()) and pair.models.source().lag_s > 0.5, "its lag is told")

    monkeypatch.setattr(replica, "MAX_LAG_S", 0.5)
    until(lambda: pair.listed() == ["fac-001", "fac-002"], "too far behind: the primary answers")
    assert (pair.models.source().name, pair.models.source().lag_s) == ("primary", 0.0)
    monkeypatch.setattr(replica, "MAX_LAG_S", 30.0)
    pair.replay(paused=False)
    until(lambda: bool(pair.listed()) and pair.models.source().name == "replica", "it has caught up")
    until(lambda: bool(pair.listed()) and pair.models.source().lag_s == 0.0, "nothing is left to replay")

    pair.pair.standby.kill()
    assert pair.listed() == ["fac-001", "fac-002"], "no read fails with it"
    assert pair.models.source().name == "primary"
    pair.pair.standby.start()
    until(lambda: bool(pair.listed()) and pair.models.source().name == "replica", "it is back")


def test_a_replica_that_never_answered_is_done_without(pair: Pair) -> None:
    pool = FastReconnectPool(
        for_reading("postgresql://nobody@127.0.0.1:9/none"), min_size=1, max_size=1, open=True, timeout=0.2
    )
    try:
        models = ReplicaReadModels(pool, pair.primary)
        assert models.portfolio.get("portfolio") == pair.primary.portfolio.get("portfolio")
        assert models.source().name == "primary"
    finally:
        pool.close()


def test_what_it_has_ages_without_a_look_and_the_best_look_counts(pair: Pair) -> None:
    pool = FastReconnectPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=5.0)
    seconds = [0.0]
    try:
        models = ReplicaReadModels(pool, pair.primary, monotonic=lambda: seconds[0])
        assert models.age_s() is None, "nobody has looked yet"

        def caught_up() -> bool:
            seconds[0] += 10.0
            models.check_replica()
            return models.age_s() == 0.0

        until(caught_up, "it answers, and lacks nothing")
        seconds[0] += 100.0
        assert models.age_s() == 100.0, "nobody knows what it lacks by now"
        pair.pair.primary.kill()
        until(lambda: not receives(pair.pair.standby), "it has noticed")
        models.check_replica()
        age_s = models.age_s()
        assert age_s is not None
        assert 0.0 < age_s <= 100.0, "alone it knows no better than by its last transaction"
    finally:
        pool.close()
        pair.pair.primary.start()


def test_a_standby_without_its_primary_is_no_younger_than_its_last_checkpoint(pair: Pair) -> None:
    primary, standby = pair.pair.primary, pair.pair.standby
    with primary.connect() as connection:
        connection.execute("CHECKPOINT")
        (written,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or ()

    def has_it() -> bool:
        with standby.connect() as connection:
            return connection.execute("SELECT pg_last_wal_replay_lsn() >= %s", (written,)).fetchone() == (
                True,
            )

    until(has_it, "the checkpoint is replayed")
    with standby.connect() as connection:
        connection.execute("CHECKPOINT")
    with killed(primary):
        standby.kill()
        time.sleep(1.0)
        standby.start()
        with standby.connect() as connection:
            assert connection.execute("SELECT pg_last_xact_replay_timestamp()").fetchone() == (None,)
        pool = FastReconnectPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=5.0)
        try:
            models = ReplicaReadModels(pool, pair.primary)
            models.check_replica()
            assert models.source().lag_s > 1.0
        finally:
            pool.close()


def test_while_the_primary_is_away_a_replica_that_failed_is_retried_at_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(replica, "RETRY_AFTER_S", 0.2)
    pool = FastReconnectPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=2.0)
    with read_from(pair, pool) as models, killed(pair.pair.primary):
        for pause in ("CHECK_EVERY_S", "RETRY_AFTER_S"):
            monkeypatch.setattr(replica, pause, 3600.0)
        with pool.connection(), pytest.raises(ReadModelsUnavailable):
            models.with_fallback(models.replica_only.facilities.listed, gone)  # its only connection is in use
        assert models.with_fallback(models.replica_only.facilities.listed, gone).rows, (
            "nobody was left alone for that"
        )

        monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
        with pool.connection():
            until(lambda: looked_at(models) is None, "it does not answer")
        models.check_replica()
        assert models.age_s() is None, "others leave it alone"
        until(lambda: looked_at(models) is not None, "it is asked again at once")


def test_a_replica_that_hangs_is_done_without_and_holds_nobody_for_good(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("CHECK_EVERY_S", 0.05), ("RETRY_AFTER_S", 0.2), ("ANSWER_WITHIN_S", 8)):
        monkeypatch.setattr(replica, name, value)
    passed = [0.0]
    pool = replica_pool(pair.standby_url, size=2, connect_within_s=0.5)
    there = pair.primary.facilities.listed().rows

    def is_read_from() -> bool:
        return models.facilities.listed().rows == there and models.source().name == "replica"

    with read_from(pair, pool, monotonic=lambda: time.monotonic() + passed[0]) as models:
        until(is_read_from, "it has all there is")
        with suspended(pair.pair.standby):
            passed[0] += 1.0
            looking = Thread(target=models.check_replica)
            looking.start()
            until(lambda: models._check_began is not None, "somebody looks")
            assert models.age_s() is not None, "it may just take a moment"
            passed[0] += replica.CHECK_WITHIN_S
            assert (models.age_s(), models.source().name) == (None, "primary")
            assert models.facilities.listed().rows == there
            assert models._checking.locked(), "and that while the look went on"
            looking.join(PATIENCE_S)
            assert not looking.is_alive()
            with pytest.raises(ReadModelsUnavailable):
                models.replica_only.facilities.listed()
        until(is_read_from, "it is back")


def test_one_read_that_takes_too_long_is_the_primarys_and_the_replica_is_read_from_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "ANSWER_WITHIN_S", 1)
    pool = replica_pool(pair.standby_url, size=2, connect_within_s=5.0)

    def too_long() -> str:
        with read_connection(pool) as connection:
            connection.execute("SELECT pg_sleep(30)")
        return "replica"

    with read_from(pair, pool) as models:
        assert models.with_fallback(too_long, lambda: "primary") == "primary"
        assert models.source().name == "replica"

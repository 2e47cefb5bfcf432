"""Reads of a standby with its lag, and reads of the primary if the standby is away or lags too far behind."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread

import pytest

from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.connection.dsn import for_reading
from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.transaction import autocommit_connection
from adapters.postgres.read_model import replica
from adapters.postgres.read_model.replica import ReplicaReadModels, replica_pool
from adapters.postgres.read_model.view import ERRORS
from domain.identifiers import facility_stream_id
from interfaces.web.replica_reads import has_state
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
        with servers.primary.connect() as connection:
            # Its commits, a minute after a start, would give a standby the time of a transaction that no test has made.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
        yield Pair(servers, stack)


def test_reads_use_the_replica_with_its_lag_or_fall_back_to_the_primary(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test, since each part continues with the servers as the previous one left them."""
    monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(replica, "RETRY_AFTER_S", 0.2)
    assert pair.models.source().name == "primary", "the replica has not been checked yet"
    pair.register("fac-001")
    until(lambda: pair.listed() == ["fac-001"], "the replica has replayed the record")
    until(lambda: pair.models.source().name == "replica", "reads use the replica")

    pair.replay(paused=True)
    pair.register("fac-002")
    assert pair.listed() == ["fac-001"], "lists come from the replica"
    assert pair.models.facilities.get(key_of("fac-002")) is not None, (
        "a row that the replica lacks is read from the primary"
    )
    until(lambda: bool(pair.listed()) and pair.models.source().lag_s > 0.5, "the lag is reported")

    monkeypatch.setattr(replica, "MAX_LAG_S", 0.5)
    until(
        lambda: pair.listed() == ["fac-001", "fac-002"],
        "reads use the primary if the replica lags too far behind",
    )
    assert (pair.models.source().name, pair.models.source().lag_s) == ("primary", 0.0)
    monkeypatch.setattr(replica, "MAX_LAG_S", 30.0)
    pair.replay(paused=False)
    until(lambda: bool(pair.listed()) and pair.models.source().name == "replica", "the replica has caught up")
    until(lambda: bool(pair.listed()) and pair.models.source().lag_s == 0.0, "nothing is left to replay")

    pair.pair.standby.kill()
    assert pair.listed() == ["fac-001", "fac-002"], "no read fails if the standby is killed"
    assert pair.models.source().name == "primary"
    pair.pair.standby.start()
    until(lambda: bool(pair.listed()) and pair.models.source().name == "replica", "it is back")


def test_a_past_state_of_the_log_is_the_same_on_the_replica_once_it_is_replayed(pair: Pair) -> None:
    primary = PostgresStreamLog(pair.pool)
    with PostgresPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=5.0) as pool:
        replica = PostgresStreamLog(pool)
        pair.register("fac-003")
        until(lambda: has_state(replica, primary.head()), "the replica has replayed the record")
        before = primary.head()
        pair.replay(paused=True)
        try:
            pair.register("fac-004")
            assert not has_state(replica, primary.head())
            assert has_state(replica, before)
        finally:
            pair.replay(paused=False)
        streams = [facility_stream_id("fac-003"), facility_stream_id("fac-004")]
        until(lambda: has_state(replica, primary.head()), "the replica has replayed this one too")
        assert replica.entries_of(streams) == primary.entries_of(streams)


def test_reads_use_the_primary_if_the_replica_never_answered(pair: Pair) -> None:
    pool = PostgresPool(
        for_reading("postgresql://nobody@127.0.0.1:9/none"), min_size=1, max_size=1, open=True, timeout=0.2
    )
    try:
        models = ReplicaReadModels(pool, pair.primary)
        assert models.portfolio.get("portfolio") == pair.primary.portfolio.get("portfolio")
        assert models.source().name == "primary"
    finally:
        pool.close()


def test_the_age_of_replica_data_grows_until_a_check_and_the_lowest_age_counts(pair: Pair) -> None:
    pool = PostgresPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=5.0)
    seconds = [0.0]
    try:
        models = ReplicaReadModels(pool, pair.primary, monotonic=lambda: seconds[0])
        assert models.age_s() is None, "no check has run yet"

        def caught_up() -> bool:
            seconds[0] += 10.0
            models.check_replica()
            return models.age_s() == 0.0

        until(caught_up, "the replica has replayed everything")
        seconds[0] += 100.0
        assert models.age_s() == 100.0, "the age grows without a check"
        pair.pair.primary.kill()
        until(lambda: not receives(pair.pair.standby), "the standby has detected the loss of its primary")
        models.check_replica()
        age_s = models.age_s()
        assert age_s is not None
        assert 0.0 < age_s <= 100.0, "without a primary the age is bounded by the last replayed transaction"
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
        pool = PostgresPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=5.0)
        try:
            models = ReplicaReadModels(pool, pair.primary)
            models.check_replica()
            assert models.source().lag_s > 1.0
        finally:
            pool.close()


def test_a_failed_replica_is_retried_at_once_while_the_primary_is_down(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(replica, "RETRY_AFTER_S", 0.2)
    pool = PostgresPool(pair.standby_url, min_size=1, max_size=1, open=True, timeout=2.0)
    with read_from(pair, pool) as models, killed(pair.pair.primary):
        for pause in ("CHECK_EVERY_S", "RETRY_AFTER_S"):
            monkeypatch.setattr(replica, pause, 3600.0)
        with pool.connection(), pytest.raises(ReadModelsUnavailable):
            models.with_fallback(models.replica_only.facilities.listed, gone)  # the only connection is in use
        assert models.with_fallback(models.replica_only.facilities.listed, gone).rows, (
            "one failure does not exclude the replica"
        )

        monkeypatch.setattr(replica, "CHECK_EVERY_S", 0.05)
        with pool.connection():
            until(lambda: looked_at(models) is None, "the replica does not answer")
        models.check_replica()
        assert models.age_s() is None, "the replica is not in use"
        until(lambda: looked_at(models) is not None, "the replica is checked again at once")


def test_reads_bypass_a_hanging_replica_and_none_blocks_forever(
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
        until(is_read_from, "the replica has every row")
        with suspended(pair.pair.standby):
            passed[0] += 1.0
            looking = Thread(target=models.check_replica)
            looking.start()
            until(lambda: models._check_began is not None, "a check has begun")
            assert models.age_s() is not None, "the check has not timed out yet"
            passed[0] += replica.CHECK_WITHIN_S
            assert (models.age_s(), models.source().name) == (None, "primary")
            assert models.facilities.listed().rows == there
            assert models._checking.locked(), "the check is still running"
            looking.join(PATIENCE_S)
            assert not looking.is_alive()
            with pytest.raises(ReadModelsUnavailable):
                models.replica_only.facilities.listed()
        until(is_read_from, "it is back")


def test_one_slow_read_falls_back_to_the_primary_and_the_replica_stays_in_use(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "ANSWER_WITHIN_S", 1)
    pool = replica_pool(pair.standby_url, size=2, connect_within_s=5.0)

    def too_long() -> str:
        with autocommit_connection(pool, ERRORS) as connection:
            connection.execute("SELECT pg_sleep(30)")
        return "replica"

    with read_from(pair, pool) as models:
        # On a busy machine the check itself, which a read does once a second, may take longer than a second.
        monkeypatch.setattr(replica, "CHECK_EVERY_S", 3600.0)
        assert models.with_fallback(too_long, lambda: "primary") == "primary"
        assert models.source().name == "replica"

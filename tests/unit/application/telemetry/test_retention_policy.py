"""Retention: deletion by age, limited by the archive and by two clocks."""

from datetime import UTC, date, datetime, timedelta

import pytest

from application.telemetry.retention_policy import ROLLUPS_AT_ONCE, RetentionPolicy, enforce
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.retention import FakeTelemetryRetention

POLICY = RetentionPolicy(raw_days=90, rollup_days=730, restored_days=7)
NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
WEEK_S = 7 * 86_400.0


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def store_of(*ages_days: int, made_ago_s: float = WEEK_S) -> FakeTelemetryRetention:
    store = FakeTelemetryRetention()
    store.days = {days_ago(age).date(): made_ago_s for age in ages_days}
    return store


def test_a_day_is_deleted_once_all_of_it_exceeds_its_retention() -> None:
    store = store_of(92, 91, 90, 89, 0)
    outcome = enforce(store, POLICY, FakeClock(NOW))
    assert outcome.dropped == (days_ago(92).date(), days_ago(91).date())
    assert store.raw_days() == [days_ago(90).date(), days_ago(89).date(), NOW.date()]


@pytest.mark.parametrize(("second", "goes"), [(-1, False), (0, True)])
def test_the_retention_is_counted_from_the_end_of_the_day_to_the_second(second: int, goes: bool) -> None:
    day = date(2026, 4, 1)
    store = FakeTelemetryRetention()
    store.days = {day: WEEK_S}
    at = datetime(2026, 4, 2, tzinfo=UTC) + timedelta(days=90, seconds=second)
    assert enforce(store, POLICY, FakeClock(at)).dropped == ((day,) if goes else ())


def test_a_day_that_is_not_archived_is_not_deleted() -> None:
    store = store_of(95, 94, 93)
    held_until = datetime.combine(days_ago(94).date(), datetime.min.time(), UTC)
    outcome = enforce(store, POLICY, FakeClock(NOW), archived_through=lambda: held_until)
    assert outcome.dropped == (days_ago(95).date(),)
    assert outcome.held_back == (days_ago(94).date(), days_ago(93).date())
    assert store.raw_days() == list(outcome.held_back)


def test_an_empty_archive_prevents_every_deletion() -> None:
    store = store_of(400, 95)
    outcome = enforce(store, POLICY, FakeClock(NOW), archived_through=lambda: None)
    assert (outcome.dropped, len(outcome.held_back)) == ((), 2)


def test_a_day_restored_from_the_archive_is_retained_for_a_week() -> None:
    store = store_of(200, made_ago_s=WEEK_S - 1)
    assert enforce(store, POLICY, FakeClock(NOW)).busy == (days_ago(200).date(),)
    store.days = {days_ago(200).date(): WEEK_S}
    assert enforce(store, POLICY, FakeClock(NOW)).dropped == (days_ago(200).date(),)


def test_a_single_clock_that_jumped_ahead_deletes_nothing() -> None:
    store = store_of(30, 91)
    store.store_now = NOW
    outcome = enforce(store, POLICY, FakeClock(NOW + timedelta(days=3_650)))
    assert outcome.dropped == (days_ago(91).date(),)


def test_an_accelerated_clock_is_not_limited_by_the_clock_of_the_store() -> None:
    store = store_of(30)
    store.store_now = NOW
    assert enforce(store, POLICY, FakeClock(NOW + timedelta(days=365), speed=600.0)).dropped != ()


def test_rollups_are_deleted_after_two_years_in_small_batches() -> None:
    store = store_of()
    store.rollups = [days_ago(730) - timedelta(seconds=n) for n in range(-3, ROLLUPS_AT_ONCE + 3)]
    assert enforce(store, POLICY, FakeClock(NOW)).rollups == ROLLUPS_AT_ONCE + 2
    assert store.rollups == [days_ago(730) - timedelta(seconds=n) for n in range(-3, 1)]

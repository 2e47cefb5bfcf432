from datetime import UTC, datetime, timedelta

from application.telemetry.ingest.malformed_rate import ALERT_SHARE, MAX_FACILITIES, WINDOW, MalformedRate

T0 = datetime(2026, 7, 14, tzinfo=UTC)


def test_the_share_is_counted_per_facility() -> None:
    rate = MalformedRate()
    for n in range(199):
        rate.note("fac-001", malformed=n < 1, at=T0)
    assert rate.share("fac-001", at=T0) < ALERT_SHARE
    rate.note("fac-001", malformed=True, at=T0)
    assert rate.share("fac-001", at=T0) == ALERT_SHARE
    rate.note("fac-002", malformed=True, at=T0)
    assert rate.share("fac-002", at=T0) == 1.0


def test_old_messages_no_longer_count_in_the_share() -> None:
    rate = MalformedRate()
    rate.note("fac-001", malformed=True, at=T0)
    rate.note("fac-001", malformed=False, at=T0 + WINDOW)
    assert rate.share("fac-001", at=T0 + WINDOW) == 0.5
    assert rate.share("fac-001", at=T0 + 2 * WINDOW) == 0.0
    assert rate.share("fac-001", at=T0 + 3 * WINDOW + timedelta(seconds=1)) == 0.0


def test_the_share_of_a_facility_is_reset_after_a_long_silence() -> None:
    rate = MalformedRate()
    rate.note("fac-001", malformed=True, at=T0)
    rate.note("fac-001", malformed=False, at=T0 + 10 * WINDOW)
    assert rate.share("fac-001", at=T0 + 10 * WINDOW) == 0.0


def test_a_clock_that_is_set_back_does_not_retain_old_messages() -> None:
    rate = MalformedRate()
    rate.note("fac-001", malformed=True, at=T0 + 100 * WINDOW)
    rate.note("fac-001", malformed=False, at=T0)
    assert rate.share("fac-001", at=T0) == 0.5
    assert rate.share("fac-001", at=T0 + 2 * WINDOW) == 0.0


def test_memory_is_bounded_by_evicting_the_longest_silent_facility() -> None:
    rate = MalformedRate()
    for n in range(MAX_FACILITIES + 5):
        rate.note(f"fac-{n}", malformed=True, at=T0)
    assert len(rate._tallies) == MAX_FACILITIES
    assert rate.share("fac-0", at=T0) == 0.0

"""The size of the telemetry log follows from the meters and the days; what does not fit is said."""

import pytest

from application.telemetry.log_capacity import FULL_SHARE, LEAST_BYTES, STEP_BYTES, LogCapacity


@pytest.mark.parametrize("meters", [0, 1, 370, 10_000])
@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_days_of_all_meters_fit_below_the_share_at_which_the_log_is_trimmed(
    meters: int, days: int
) -> None:
    capacity = LogCapacity(meters=meters, days=days)
    usable = FULL_SHARE * (capacity.limit_bytes - LEAST_BYTES)
    assert capacity.reading_bytes <= usable + 1 < capacity.reading_bytes + STEP_BYTES + 1
    assert capacity.limit_bytes % STEP_BYTES == 0
    assert capacity.misfits(capacity.limit_bytes, capacity.limit_bytes) == []


@pytest.mark.parametrize(
    ("meters", "week_gb", "limit_gb"), [(100, 2.0, 4.0), (1_000, 19.8, 29.5), (10_000, 55.6, 80.8)]
)
def test_what_a_week_takes(meters: int, week_gb: float, limit_gb: float) -> None:
    capacity = LogCapacity(meters=meters, days=7)
    assert capacity.reading_bytes / 1e9 == pytest.approx(week_gb, abs=0.1)
    assert capacity.limit_bytes / 1e9 == pytest.approx(limit_gb, abs=0.15)


def test_a_facility_that_lists_no_meters_counts_as_ten() -> None:
    capacity = LogCapacity.of({"fac-001": {"main", "solar"}, "fac-002": ()}, days=7)
    assert (capacity.meters, capacity.days) == (12, 7)


def test_a_limit_below_the_days_is_said_with_what_it_keeps() -> None:
    (misfit,) = LogCapacity(meters=5_000, days=7).misfits(1 << 30)
    assert "may take 1.1 GB, which keeps about 0.1 days" in misfit
    assert "7 days of 5,000 meters take 37.5 GB" in misfit
    assert "GRIDPROOF_TELEMETRY_LOG_BYTES" in misfit
    assert "GRIDPROOF_TELEMETRY_LOG_DAYS" in misfit


def test_a_disk_below_the_days_is_said() -> None:
    capacity = LogCapacity(meters=5_000, days=7)
    (misfit,) = capacity.misfits(capacity.limit_bytes, 10_000_000_000)
    assert "its disk has 10.0 GB for the telemetry log" in misfit


def test_no_meters_fit_anywhere() -> None:
    assert LogCapacity(meters=0, days=365).misfits(1, 0) == []

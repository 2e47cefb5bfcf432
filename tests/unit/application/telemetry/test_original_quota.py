from hypothesis import given
from hypothesis import strategies as st

from adapters.nats.telemetry_stream import DEFAULT_MAX_BYTES
from application.access.token_bucket import Allowance
from application.telemetry.ingest import malformed_quota
from application.telemetry.ingest.message_quota import allowance_of
from application.telemetry.ingest.meter_admission import MAX_UNLISTED_METERS
from application.telemetry.ingest.original_quota import OF_ALL, of_a_facility, original_quota

READING_BYTES, EVERY_S = 130, 15
FACILITIES = 10_000
OUTAGE_S = 600
PACKED_READING_BYTES = 72
"""With its message compressed."""


def test_every_message_of_ten_thousand_facilities_is_stored() -> None:
    quota = original_quota()
    kept = [
        quota.takes(
            f"fac-{number}", READING_BYTES, of_a_facility(1), now_s=turn * EVERY_S + number / FACILITIES
        )
        for turn in range(5)
        for number in range(FACILITIES)
    ]
    assert all(kept)
    assert OF_ALL.per_s >= 5 * FACILITIES * READING_BYTES / EVERY_S, "also where each has five meters"


@given(st.integers(0, 100_000))
def test_every_meter_has_room_for_its_readings_and_those_of_a_day_at_once(meters: int) -> None:
    most = of_a_facility(meters)
    assert most.per_s >= meters * READING_BYTES / EVERY_S
    assert most.at_once >= meters * READING_BYTES * 86_400 / EVERY_S
    assert most.at_once <= allowance_of(meters).at_once
    assert most.per_s <= allowance_of(meters).per_s


def test_a_facility_that_lists_no_meters_has_room_for_all_that_it_may_have() -> None:
    assert of_a_facility(0).per_s >= MAX_UNLISTED_METERS * READING_BYTES / EVERY_S


def test_ten_minutes_of_originals_and_malformed_messages_leave_room_for_readings() -> None:
    most = sum(one.at_once + OUTAGE_S * one.per_s for one in (OF_ALL, malformed_quota.OF_ALL))
    readings = FACILITIES * OUTAGE_S / EVERY_S * PACKED_READING_BYTES
    assert most + 5 * readings < DEFAULT_MAX_BYTES


def test_what_all_facilities_keep_is_bounded_and_small_messages_find_room_first() -> None:
    quota = original_quota(Allowance(100_000, 100))
    assert sum(quota.takes(f"fac-{n}", 60_000, of_a_facility(1), now_s=0.0) for n in range(99)) == 1
    assert quota.takes("small", READING_BYTES, of_a_facility(1), now_s=0.0)
    assert not quota.takes("fac-1", 60_000, of_a_facility(1), now_s=200.0)
    assert quota.takes("fac-1", 60_000, of_a_facility(1), now_s=202.0)


def test_one_facility_takes_no_more_than_its_own() -> None:
    quota = original_quota()
    assert sum(quota.takes("fac-001", 60_000, of_a_facility(1), now_s=0.0) for _ in range(1_000)) == 166
    assert quota.takes("fac-002", 60_000, of_a_facility(1), now_s=0.0)

from hypothesis import given
from hypothesis import strategies as st

from application.telemetry.ingest.malformed_rate import MAX_FACILITIES
from application.telemetry.ingest.message_quota import (
    LEAST,
    MESSAGE_BYTES,
    MessageQuota,
    allowance_of,
    excess_reason,
)

SENT = st.lists(st.tuples(st.floats(0.0, 600.0), st.integers(0, 10_000_000)), max_size=40)
"""Seconds since the message before, and the size of the payload."""


@given(SENT, st.integers(0, 200))
def test_what_is_read_never_exceeds_the_allowance(sent: list[tuple[float, int]], meters: int) -> None:
    quota, most = MessageQuota(), allowance_of(meters)
    now_s = read = 0.0
    for wait_s, size in sent:
        now_s += wait_s
        takes = quota.takes("fac-001", size, meters=meters, now_s=now_s)
        read += takes * (size + MESSAGE_BYTES)
        assert read <= most.at_once + now_s * most.per_s + 1.0


@given(SENT)
def test_what_one_facility_sends_takes_nothing_from_another(sent: list[tuple[float, int]]) -> None:
    alone, beside = MessageQuota(), MessageQuota()
    now_s = 0.0
    for wait_s, size in sent:
        now_s += wait_s
        for _ in range(10):
            beside.takes("fac-002", 64_000_000, meters=1, now_s=now_s)
        ours = alone.takes("fac-001", size, meters=1, now_s=now_s)
        assert beside.takes("fac-001", size, meters=1, now_s=now_s) == ours


@given(st.integers(0, 100_000))
def test_every_meter_has_room_for_the_readings_of_a_day_at_once(meters: int) -> None:
    a_day = 86_400 // 15
    assert allowance_of(meters).at_once >= meters * a_day * (100 + MESSAGE_BYTES)
    assert allowance_of(meters).per_s >= meters * (130 + MESSAGE_BYTES) / 15
    assert allowance_of(meters).at_once >= LEAST.at_once
    assert allowance_of(meters).per_s >= LEAST.per_s


def test_messages_without_content_are_bounded_too() -> None:
    quota = MessageQuota()
    assert quota.takes("fac-001", int(LEAST.at_once) - 10 * MESSAGE_BYTES, meters=1, now_s=0.0)
    assert sum(quota.takes("fac-001", 0, meters=1, now_s=0.0) for _ in range(20)) == 9


def test_the_number_of_quotas_of_facilities_that_are_not_listed_is_bounded() -> None:
    quota = MessageQuota()
    assert quota.takes("fac-001", 63_000_000, meters=None, now_s=0.0)
    for number in range(MAX_FACILITIES):
        quota.takes(f"invented-{number}", 1, meters=None, now_s=0.0)
    assert quota.takes("fac-001", 63_000_000, meters=None, now_s=0.0), (
        "the one silent for longest starts anew"
    )


def test_the_quota_grows_with_the_meters_that_are_listed_meanwhile() -> None:
    quota = MessageQuota()
    assert quota.takes("fac-001", 60_000_000, meters=1, now_s=0.0)
    assert not quota.takes("fac-001", 60_000_000, meters=1_000, now_s=0.0)
    assert quota.takes("fac-001", 60_000_000, meters=1_000, now_s=60.0)


def test_the_reason_says_how_much_may_be_sent() -> None:
    assert "64 MB at once and 256 kB a second" in excess_reason(10)
    assert "3000 MB at once and 3000 kB a second" in excess_reason(3_000)

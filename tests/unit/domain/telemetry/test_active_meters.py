from datetime import UTC, date, datetime

from domain.telemetry.active_meters import MeterPresence, day_number, day_of, days_before, quarter_number

NOON = quarter_number(datetime(2026, 7, 14, 12, tzinfo=UTC))


def test_a_meter_is_expected_from_its_first_quarter_hour_until_a_day_after_its_last() -> None:
    presence = MeterPresence(NOON - 200)
    presence.add("fac", "m1", NOON)
    assert [presence.expected("fac", NOON + n) for n in (-1, 0, 95, 96)] == [0, 1, 1, 0]
    assert presence.expected("other", NOON) == 0


def test_presence_does_not_depend_on_the_order_or_on_grouping_by_day() -> None:
    one, other = MeterPresence(NOON - 200), MeterPresence(NOON - 200)
    for n in (0, 3, 1):
        one.add("fac", "m1", NOON + n)
    other.add("fac", "m1", NOON, bits=0b1011)
    assert [one.expected("fac", NOON + n) for n in range(-3, 103)] == [
        other.expected("fac", NOON + n) for n in range(-3, 103)
    ]


def test_quarter_hours_before_the_base_are_dropped() -> None:
    presence = MeterPresence(NOON)
    presence.add("fac", "m1", NOON - 2, bits=0b111)
    assert [presence.expected("fac", NOON + n) for n in (0, 95, 96)] == [1, 1, 0]


def test_days_and_quarter_hours_are_in_utc() -> None:
    assert day_of(NOON) == date(2026, 7, 14)
    assert day_number(date(2026, 7, 14)) == NOON - 48
    assert days_before([NOON]) == (date(2026, 7, 13), date(2026, 7, 14))
    assert days_before([NOON + 47]) == (date(2026, 7, 14), date(2026, 7, 14))

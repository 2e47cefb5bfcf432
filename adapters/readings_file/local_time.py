"""ESPI's LocalTimeParameters: the clock changes, from the bits of DstRuleType (NAESB REQ.21).

Bits 0-11 seconds of the hour, 12-16 hour, 17-19 day of the week (Monday 1), 20-24 day of the month, 25-27 operator,
28-31 month. All bits set: no daylight saving time.
"""

from datetime import UTC, date, datetime, timedelta

from application.ports.history_import import ClockChange

_NONE = 0xFFFFFFFF
_LONGEST_OFFSET_S = 50_400
_ON_DAY, _WEEKDAY_ON_OR_AFTER, _LAST = 0, 1, 7


class WrongRule(ValueError):
    """A rule that defines no valid time; the text says which part is wrong."""


class LocalTime:
    """`tz_offset_s` is added to UTC for standard time, `dst_offset_s` in addition during daylight saving time."""

    def __init__(self, tz_offset_s: int, dst_offset_s: int, dst_start_rule: str, dst_end_rule: str) -> None:
        if abs(tz_offset_s) > _LONGEST_OFFSET_S or not 0 <= dst_offset_s <= _LONGEST_OFFSET_S:
            raise WrongRule(f"offsets of {tz_offset_s} and {dst_offset_s} s are none of a time zone")
        self.tz_offset_s, self.dst_offset_s = tz_offset_s, dst_offset_s
        self._rules = (_bits(dst_start_rule), _bits(dst_end_rule))
        self.has_dst = dst_offset_s != 0 and _NONE not in self._rules
        if self.has_dst:
            for rule in self._rules:
                _moment(rule, 2000)  # so that an invalid rule is refused at once

    def clock_changes(self, first_year: int, last_year: int) -> list[ClockChange]:
        """The clock changes in order. A rule is in the local time just before the change."""
        if not self.has_dst:
            return []
        standard, daylight = timedelta(seconds=self.tz_offset_s), timedelta(seconds=self.dst_offset_s)
        changes = []
        for year in range(first_year, last_year + 1):
            begins_at = _moment(self._rules[0], year) - standard
            ends_at = _moment(self._rules[1], year) - standard - daylight
            changes += [ClockChange(begins_at, self.dst_offset_s), ClockChange(ends_at, -self.dst_offset_s)]
        return sorted(changes)


def _bits(rule: str) -> int:
    try:
        bits = int(rule, 16)
    except ValueError:
        raise WrongRule(f"the daylight saving rule {rule!r} is no hexadecimal number") from None
    if not 0 <= bits <= _NONE:
        raise WrongRule(f"the daylight saving rule {rule!r} has more than 32 bits")
    return bits


def _moment(rule: int, year: int) -> datetime:
    """The local time of the change in that year, as if it were UTC. Raises WrongRule."""
    second, hour = rule & 0xFFF, rule >> 12 & 0x1F
    weekday, day = rule >> 17 & 0x7, rule >> 20 & 0x1F
    operator, month = rule >> 25 & 0x7, rule >> 28 & 0xF
    try:
        result = _day(year, month, day, weekday, operator)
    except ValueError as error:
        raise WrongRule(f"the daylight saving rule {rule:08X} names no day: {error}") from error
    if hour > 23 or second > 3_599:
        raise WrongRule(f"the daylight saving rule {rule:08X} names no time of day")
    return datetime(result.year, result.month, result.day, tzinfo=UTC) + timedelta(hours=hour, seconds=second)


def _day(year: int, month: int, day: int, weekday: int, operator: int) -> date:
    if not 1 <= month <= 12:
        raise ValueError("no month")
    if operator == _ON_DAY:
        return date(year, month, day)
    if not weekday:
        raise ValueError("no day of the week")
    if operator == _LAST:
        following = date(year + month // 12, month % 12 + 1, 1)
        return following - timedelta(days=(following.weekday() - weekday) % 7 + 1)
    first = date(year, month, day if operator == _WEEKDAY_ON_OR_AFTER else 1)
    result = first + timedelta(days=(weekday - 1 - first.weekday()) % 7)
    if operator != _WEEKDAY_ON_OR_AFTER:
        result += timedelta(weeks=operator - 2)
        if result.month != month:
            raise ValueError("the month has no fifth such day")
    return result

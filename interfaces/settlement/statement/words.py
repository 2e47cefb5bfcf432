"""Codes of a settlement in plain words."""

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from application.settlement.formula import rfc3339
from application.settlement.shapes import SettlementDocument

REASONS = {
    "cancelled_before_start": "the DR event was cancelled before its start",
    "coverage": "too few of its steps were metered",
    "baseline": "it has no baseline",
    "no_facility": "no facility took part",
    "opted_out": "it opted out before the start",
    "failed": "it never reduced its load",
    "excused": "it was excused",
    "no_window": "no whole metering step lies in its window",
}
WHY = {
    "rule": "a new settlement rule",
    "event": "the DR event: window, commitments, results or prices",
    "baseline": "another baseline",
    "meter": "late or corrected readings",
}
NOTES = {
    "no_commitment": "nothing was committed",
    "minimum_performance": "below the minimum performance",
}


def result_words(result: str) -> str:
    """How a facility's part ended: "opted out"."""
    return result.replace("_", " ")


def plain(code: str) -> str:
    """A code in words."""
    return REASONS.get(code) or NOTES.get(code) or code.replace("_", " ")


class Clock:
    """Times of a document, local to its facilities where all have one time zone, else in UTC."""

    def __init__(self, document: SettlementDocument) -> None:
        zones = {facility.tz for facility in document.inputs.dr_event.facilities}
        self.name = zones.pop() if len(zones) == 1 else "UTC"
        try:
            self._zone: ZoneInfo | None = ZoneInfo(self.name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._zone, self.name = None, "UTC"

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone or UTC)

    def time(self, moment: datetime) -> str:
        """HTML: "14:00", with the moment in UTC behind it."""
        return _time(moment, f"{self.local(moment):%H:%M}")

    def date_time(self, moment: datetime) -> str:
        """HTML: "2026-07-14 14:00"."""
        return _time(moment, f"{self.local(moment):%Y-%m-%d %H:%M}")

    def span(self, starts_at: datetime, ends_at: datetime) -> str:
        """HTML: "2026-07-14 14:00 to 18:00"."""
        same_day = self.local(starts_at).date() == self.local(ends_at).date()
        return f"{self.date_time(starts_at)} to {(self.time if same_day else self.date_time)(ends_at)}"

    @property
    def label(self) -> Callable[[datetime], str]:
        """The label of a time on an axis."""
        return lambda moment: f"{self.local(moment):%H:%M}"


def _time(moment: datetime, shown: str) -> str:
    return f'<time datetime="{rfc3339(moment)}">{escape(shown)}</time>'

"""The seals of an import of history: the digests of the local days that it touched, as they are read after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from application.ports.event_store.event_store import EventStore, SaveRequest
from application.ports.telemetry.store import TelemetryStore
from domain.event_sourcing.aggregate import Provenance
from domain.telemetry.day_digest import DayDigest, FacilityValues, day_digest
from domain.telemetry.sealed_readings import MOST_DAYS, HistorySeals, final_at, history_seals_id
from domain.time_series.windows import TimeWindow, local_date, local_day

FACILITIES_AT_ONCE = 20


class ImportedSpan(NamedTuple):
    """The rows of one facility that an import stored."""

    facility_id: str
    starts_at: datetime
    ends_at: datetime
    step_s: int
    rows: int


@dataclass(frozen=True)
class HistorySealer:
    """Synchronous."""

    store: EventStore
    telemetry: TelemetryStore

    def seal(
        self,
        spans: Sequence[ImportedSpan],
        zones: Mapping[str, str],
        provenance: Provenance,
        *,
        is_taken_back: bool = False,
    ) -> int:
        """Record one seal for each facility that has a time zone in `zones`; returns their number.

        `is_taken_back`: after the rows of the import were removed. Days that have nothing left are sealed as well then:
        the seal of the import does not hold any more.

        Facilities that the portfolio does not have cannot be measured and are left out. Raises what EventStore.save
        and TelemetryStore.interval_series_of raise.
        """
        known = [span for span in spans if span.facility_id in zones and span.rows]
        for start in range(0, len(known), FACILITIES_AT_ONCE):
            block = known[start : start + FACILITIES_AT_ONCE]
            self._seal_block(block, zones, provenance, is_taken_back=is_taken_back)
        return len(known)

    def _seal_block(
        self,
        spans: Sequence[ImportedSpan],
        zones: Mapping[str, str],
        provenance: Provenance,
        *,
        is_taken_back: bool,
    ) -> None:
        streams = [history_seals_id(span.facility_id) for span in spans]
        opened = self.store.load_many(HistorySeals, streams)
        pending = []
        for span, stream in zip(spans, streams, strict=True):
            seals = opened.get(stream) or HistorySeals.open(provenance, facility_id=span.facility_id)
            tz = ZoneInfo(zones[span.facility_id])
            first_day, days = self._days(span, tz, provenance.recorded_at, seals_empty=is_taken_back)
            seals.seal(
                provenance,
                tz=tz.key,
                starts_at=span.starts_at,
                ends_at=span.ends_at,
                step_s=span.step_s,
                rows=span.rows,
                first_day=first_day,
                days=days,
                is_taken_back=is_taken_back,
            )
            pending.append(SaveRequest([seals]))
        for error in self.store.save_each(pending):
            if error is not None:
                raise error

    def _days(
        self, span: ImportedSpan, tz: ZoneInfo, now: datetime, *, seals_empty: bool
    ) -> tuple[date, tuple[DayDigest | None, ...]]:
        """A day that is not final yet is sealed when it is."""
        last = local_date(span.ends_at - timedelta(microseconds=1), tz)
        first = max(local_date(span.starts_at, tz), last - timedelta(days=MOST_DAYS - 1))
        window = TimeWindow(local_day(first, tz).starts_at, local_day(last, tz).ends_at)
        values = FacilityValues.of(
            self.telemetry.interval_series_of([span.facility_id], window), span.facility_id
        )
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return first, tuple(
            _digest_of(values.within(local_day(day, tz)), seals_empty=seals_empty)
            if final_at(day, tz) <= now
            else None
            for day in days
        )


def _digest_of(values: FacilityValues, *, seals_empty: bool) -> DayDigest | None:
    return day_digest(values) if values.has_readings or seals_empty else None

"""Current values: what was settled, and over it what has come since.

What has come since is looked for in the last 75 s before a facility's newest reading; where a meter said nothing
there, in all that is not settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg

from adapters.postgres.binary_rows import POSTGRES_EPOCH
from adapters.postgres.quarter_news import unsettled
from adapters.postgres.stored_chunks import Span, StoredReadings, readings_in, spans_between
from application.ports.telemetry_store import CurrentValue, MeterValue
from domain.meter_intervals import INTERVAL, RETIRED_AFTER, interval_start
from domain.reading_columns import FloatArray, IntArray, usable

Connection = psycopg.Connection[Any]

_ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_RECENT = timedelta(seconds=75)

# One look into the index a quarter-hour.
_LATEST = """
SELECT t.ord - 1, (SELECT max(c.ts[1]) FROM reading_chunks c
    WHERE c.quarter = t.quarter AND c.facility_id = t.facility_id)
FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY AS t (facility_id, quarter, ord)
"""
_SETTLED = """
SELECT facility_id, meter_id, kw, kw_at, kwh_total, kwh_total_at, newest_reading_at FROM current_values
WHERE facility_id = ANY(%s)
"""

Meter = tuple[str, str]
"""Facility and meter."""


class Newest(msgspec.Struct, frozen=True):
    """What one meter last said; its values of usable readings only."""

    newest_at: datetime
    kw: float | None = None
    kw_at: datetime | None = None
    kwh_total: float | None = None
    kwh_total_at: datetime | None = None

    def over(self, earlier: Newest) -> Newest:
        """Both in one, where `earlier` is what was known before."""
        by_power = self.kw_at is not None and (earlier.kw_at is None or self.kw_at >= earlier.kw_at)
        by_register = self.kwh_total_at is not None and (
            earlier.kwh_total_at is None or self.kwh_total_at >= earlier.kwh_total_at
        )
        power, register = (self if by_power else earlier), (self if by_register else earlier)
        return Newest(
            max(self.newest_at, earlier.newest_at),
            power.kw,
            power.kw_at,
            register.kwh_total,
            register.kwh_total_at,
        )


def current_values(conn: Connection, facility_ids: Sequence[str]) -> dict[str, CurrentValue]:
    """Of those that have any reading."""
    open_quarters: dict[str, list[datetime]] = {}
    for facility_id, start in unsettled(conn, facility_ids, *_ALWAYS):
        open_quarters.setdefault(facility_id, []).append(start)
    settled = _settled(conn, facility_ids)
    recent = newest_in(conn, _recent_spans(conn, open_quarters))
    unclear = {
        f for f in facility_ids if f in open_quarters and _is_unclear(f, open_quarters, settled, recent)
    }
    if unclear:
        spans = [Span(0, f, start, *_ALWAYS) for f in unclear for start in open_quarters[f]]
        everything = newest_in(conn, spans)
        recent = {meter: one for meter, one in recent.items() if meter[0] not in unclear} | everything
    found: dict[str, list[MeterValue]] = {}
    for facility_id, meter_id in sorted(settled.keys() | recent.keys()):
        value = _value(conn, (facility_id, meter_id), open_quarters.get(facility_id, ()), settled, recent)
        found.setdefault(facility_id, []).append(_meter_value(meter_id, value))
    return {facility_id: CurrentValue.of(facility_id, meters) for facility_id, meters in found.items()}


def newest_in(conn: Connection, spans: Sequence[Span]) -> dict[Meter, Newest]:
    """What each meter last said in spans of any facilities (whatever their owners)."""
    numbers = {facility_id: n for n, facility_id in enumerate(sorted({span.facility_id for span in spans}))}
    names = list(numbers)
    found = readings_in(conn, [span._replace(owner=numbers[span.facility_id]) for span in spans])
    columns, counts = found.columns, usable(found.columns)
    everything = _last(found, np.ones(len(columns), dtype=np.bool_))
    powers, registers = (
        _last(found, counts & np.isfinite(values)) for values in (columns.kw, columns.kwh_total)
    )
    said = {}
    for n, (owner, meter_id) in enumerate(found.meters):
        kw, kw_at = _said(found, powers[n], columns.kw)
        kwh, kwh_at = _said(found, registers[n], columns.kwh_total)
        newest_at = _moment(columns.ts_us[everything[n]])
        said[names[owner], meter_id] = Newest(newest_at, kw, kw_at, kwh, kwh_at)
    return said


def look_back(conn: Connection, meter: Meter, before: datetime) -> Newest | None:
    """What the meter last said in the day before a quarter-hour that no longer says anything usable."""
    spans = spans_between(0, meter[0], before - RETIRED_AFTER, before)
    return newest_in(conn, spans).get(meter)


def _settled(conn: Connection, facility_ids: Sequence[str]) -> dict[Meter, Newest]:
    found = {}
    for facility_id, meter_id, kw, kw_at, kwh, kwh_at, newest_at in conn.execute(
        _SETTLED, (list(facility_ids),)
    ):
        found[facility_id, meter_id] = Newest(_utc(newest_at), kw, _maybe_utc(kw_at), kwh, _maybe_utc(kwh_at))
    return found


def _recent_spans(conn: Connection, open_quarters: Mapping[str, Sequence[datetime]]) -> list[Span]:
    places = [(facility_id, start) for facility_id, starts in open_quarters.items() for start in starts]
    if not places:
        return []
    latest: dict[str, datetime] = {}
    for n, first_at in conn.execute(_LATEST, tuple(list(column) for column in zip(*places, strict=True))):
        if first_at is not None:
            facility_id = places[n][0]
            latest[facility_id] = max(_utc(first_at), latest.get(facility_id, _ALWAYS[0]))
    spans = []
    for facility_id, start in places:
        if facility_id in latest:
            low = (latest[facility_id] - _RECENT).replace(second=0, microsecond=0)
            if start + INTERVAL > low:
                spans.append(Span(0, facility_id, start, low, _ALWAYS[1]))
    return spans


def _is_unclear(
    facility_id: str,
    open_quarters: Mapping[str, Sequence[datetime]],
    settled: Mapping[Meter, Newest],
    recent: Mapping[Meter, Newest],
) -> bool:
    """Whether a meter that still counts may have said more than what was looked at; a facility that was never settled
    may have further meters."""
    known = {meter: one for meter, one in settled.items() if meter[0] == facility_id}
    said = {meter: one for meter, one in recent.items() if meter[0] == facility_id}
    if not known:
        return True
    newest_at = max(one.newest_at for one in (*known.values(), *said.values()))
    for meter in known.keys() | said.keys():
        before, now = known.get(meter), said.get(meter)
        is_partial = (before is None or before.kw_at is not None) and (now is None or now.kw_at is None)
        is_partial |= (before is None or before.kwh_total_at is not None) and (
            now is None or now.kwh_total_at is None
        )
        last_at = max(one.newest_at for one in (before, now) if one is not None)
        if is_partial and last_at >= newest_at - RETIRED_AFTER:
            return True
    return False


def _value(
    conn: Connection,
    meter: Meter,
    open_quarters: Iterable[datetime],
    settled: Mapping[Meter, Newest],
    recent: Mapping[Meter, Newest],
) -> Newest:
    before, now = settled.get(meter), recent.get(meter)
    if before is None:
        return recent[meter]
    # What was settled of a quarter-hour with news in it is what the news says, and no longer what it was.
    outdated = {_quarter(at) for at in (before.kw_at, before.kwh_total_at)} & {*open_quarters}
    if outdated:
        power_stays, register_stays = (
            _quarter(at) not in outdated for at in (before.kw_at, before.kwh_total_at)
        )
        kept = Newest(
            before.newest_at,
            before.kw if power_stays else None,
            before.kw_at if power_stays else None,
            before.kwh_total if register_stays else None,
            before.kwh_total_at if register_stays else None,
        )
        earlier = look_back(conn, meter, min(start for start in outdated if start is not None))
        before = kept if earlier is None else kept.over(earlier)
    return before if now is None else now.over(before)


def _last(found: StoredReadings, which: Any) -> IntArray:
    """Of each meter the index of its last reading among `which`, -1 without any."""
    last = np.full(len(found.meters), -1)
    where = np.flatnonzero(which)
    last[found.columns.meter[where]] = where
    return last


def _said(found: StoredReadings, index: int, values: FloatArray) -> tuple[float | None, datetime | None]:
    if index < 0:
        return None, None
    return float(values[index]), _moment(found.columns.ts_us[index])


def _moment(ts_us: Any) -> datetime:
    return POSTGRES_EPOCH + timedelta(microseconds=int(ts_us))


def _quarter(at: datetime | None) -> datetime | None:
    return None if at is None else interval_start(at)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _maybe_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _meter_value(meter_id: str, value: Newest) -> MeterValue:
    return MeterValue(
        meter_id=meter_id,
        kw=value.kw,
        measured_at=value.kw_at,
        kwh_total=value.kwh_total,
        newest_reading_at=value.newest_at,
    )

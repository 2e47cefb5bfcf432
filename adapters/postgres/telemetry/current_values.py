"""Current values: finalized values, combined with newer readings.

Newer readings are searched in the last 75 s before a facility's newest reading. If a meter has none there,
all intervals that are not finalized are searched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import psycopg

from adapters.postgres.telemetry.readings.chunk_query import ChunkRange
from adapters.postgres.telemetry.readings.latest import NOTHING, VALUES, Meters, Newest, look_back, newest_in
from adapters.postgres.telemetry.readings.recent import newest_of, recent_readings
from adapters.postgres.wire_format.array_parameters import moments, texts
from application.ports.telemetry.store import CurrentValue, MeterValue
from domain.telemetry.intervals import INTERVAL, RETIRED_AFTER, interval_start
from domain.telemetry.reading_block import ReadingBlock

Connection = psycopg.Connection[Any]

_ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_RECENT = timedelta(seconds=75)

# One index lookup per quarter-hour.
_LATEST = """
SELECT t.ord - 1, (SELECT max(c.ts[1]) FROM reading_chunks c
    WHERE c.quarter = t.quarter AND c.facility_id = t.facility_id
        AND c.quarter >= %(first)s AND c.quarter <= %(last)s)
FROM unnest(%(facilities)s::text[], %(starts)s::timestamptz[]) WITH ORDINALITY AS t (facility_id, quarter, ord)
"""
_STATE = """
SELECT facility_id, starts_at, NULL AS meter_id, NULL::float8, NULL::timestamptz, NULL::float8, NULL::timestamptz
FROM unsettled_quarters WHERE facility_id = ANY(%(facilities)s)
UNION ALL
SELECT facility_id, newest_reading_at, meter_id, kw, kw_at, kwh_total, kwh_total_at
FROM current_values WHERE facility_id = ANY(%(facilities)s)
"""


def current_values(conn: Connection, facility_ids: Sequence[str]) -> dict[str, CurrentValue]:
    """The current values of the facilities that have any reading."""
    buffered = recent_readings(conn, facility_ids)
    open_quarters, finalized = _stored_state(conn, facility_ids)
    latest = _latest(conn, open_quarters, buffered)
    # A facility without finalized values may have further meters, so all of it is searched below.
    spans = _recent_spans(latest, {f: q for f, q in open_quarters.items() if f in finalized})
    recent = newest_in(conn, spans, buffered)
    incomplete = [
        f for f in latest if f not in finalized or _needs_full_look(finalized[f], recent.get(f, {}))
    ]
    recent |= newest_in(conn, _open_spans(latest, {f: open_quarters[f] for f in incomplete}), buffered)
    valid = {f: _without_outdated(finalized.get(f, {}), open_quarters.get(f, ())) for f in facility_ids}
    missing_values = {
        (f, name, value): start
        for f, (_, outdated) in valid.items()
        for (name, value), start in outdated.items()
        if not recent.get(f, {}).get(name, NOTHING).has(value)
    }
    earlier = look_back(conn, missing_values)
    values = {}
    for facility_id in facility_ids:
        before, now = valid[facility_id][0], recent.get(facility_id, {})
        meters = []
        for name in sorted(before.keys() | now.keys()):
            candidates = [now.get(name), earlier.get((facility_id, name)), before.get(name)]
            meters.append(
                _meter_value(name, reduce(Newest.over, [one for one in candidates if one is not None]))
            )
        if meters:
            values[facility_id] = CurrentValue.of(facility_id, meters)
    return values


def _stored_state(
    conn: Connection, facility_ids: Sequence[str]
) -> tuple[dict[str, list[datetime]], dict[str, Meters]]:
    """Starts of the dirty quarter-hours, and the finalized values, from one snapshot."""
    open_quarters: dict[str, list[datetime]] = {}
    finalized: dict[str, Meters] = {}
    rows = conn.execute(_STATE, {"facilities": texts(facility_ids)})
    for facility_id, at, meter_id, kw, kw_at, kwh, kwh_at in rows:
        if meter_id is None:
            open_quarters.setdefault(facility_id, []).append(_utc(at))
        else:
            value = Newest(_utc(at), kw, _maybe_utc(kw_at), kwh, _maybe_utc(kwh_at))
            finalized.setdefault(facility_id, {})[meter_id] = value
    return open_quarters, finalized


def _latest(
    conn: Connection, open_quarters: Mapping[str, Sequence[datetime]], buffered: ReadingBlock
) -> dict[str, datetime]:
    """Approximate time of each facility's newest reading in its open quarter-hours; facilities without one
    are left out."""
    places = [(facility_id, start) for facility_id, starts in open_quarters.items() for start in starts]
    if not places:
        return {}
    facilities, starts = (list(column) for column in zip(*places, strict=True))
    bounds = {"first": min(starts), "last": max(starts)}
    params = {"facilities": texts(facilities), "starts": moments(starts), **bounds}
    latest = {
        facility_id: at for facility_id, at in newest_of(buffered).items() if facility_id in open_quarters
    }
    for n, first_at in conn.execute(_LATEST, params):
        if first_at is not None:
            facility_id = facilities[n]
            latest[facility_id] = max(_utc(first_at), latest.get(facility_id, _ALWAYS[0]))
    return latest


def _recent_spans(
    latest: Mapping[str, datetime], open_quarters: Mapping[str, Sequence[datetime]]
) -> list[ChunkRange]:
    spans = []
    for facility_id, starts in open_quarters.items():
        if facility_id in latest:
            low = (latest[facility_id] - _RECENT).replace(second=0, microsecond=0)
            spans += [
                ChunkRange(0, facility_id, start, low, _ALWAYS[1])
                for start in starts
                if start + INTERVAL > low
            ]
    return spans


def _open_spans(
    latest: Mapping[str, datetime], open_quarters: Mapping[str, Sequence[datetime]]
) -> list[ChunkRange]:
    """A meter without readings for longer is retired, so older open quarter-hours are not searched."""
    return [
        ChunkRange(0, facility_id, start, *_ALWAYS)
        for facility_id, starts in open_quarters.items()
        for start in starts
        if start > latest[facility_id] - RETIRED_AFTER - INTERVAL
    ]


def _without_outdated(
    finalized: Meters, open_quarters: Collection[datetime]
) -> tuple[Meters, dict[tuple[str, str], datetime]]:
    """Remove finalized values that lie in a dirty quarter-hour, since its readings replace them.

    Returns the remaining values, and for each removed one (meter, value) the start of its quarter-hour.
    """
    valid, outdated = {}, {}
    for meter_id, one in finalized.items():
        still = one
        for value in VALUES:
            start = _quarter(one.at(value))
            if start is not None and start in open_quarters:
                outdated[meter_id, value] = start
                still = still.without(value)
        valid[meter_id] = still
    return valid, outdated


def _needs_full_look(candidates: Meters, new: Meters) -> bool:
    """True if an active meter may have readings outside the searched range."""
    newest_at = max(one.newest_at for one in (*candidates.values(), *new.values()))
    for meter_id in candidates.keys() | new.keys():
        before, now = candidates.get(meter_id), new.get(meter_id)
        is_partial = (before is None or before.kw_at is not None) and (now is None or now.kw_at is None)
        is_partial |= (before is None or before.kwh_total_at is not None) and (
            now is None or now.kwh_total_at is None
        )
        last_at = max(one.newest_at for one in (before, now) if one is not None)
        if is_partial and last_at >= newest_at - RETIRED_AFTER:
            return True
    return False


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

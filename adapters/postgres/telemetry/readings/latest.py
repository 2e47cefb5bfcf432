"""Newest values of meters from their readings in PostgreSQL, for many facilities at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
from msgspec.structs import replace

from adapters.postgres.telemetry.readings.chunk_decoder import StoredReadings
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, chunk_ranges, readings_in
from adapters.postgres.wire_format.copy_format import POSTGRES_EPOCH
from domain.telemetry.intervals import INTERVAL, RETIRED_AFTER
from domain.telemetry.reading_arrays import IntArray, usable
from domain.telemetry.reading_block import ReadingBlock

Connection = psycopg.Connection[Any]


class Newest(msgspec.Struct, frozen=True):
    """Newest values of one meter; the values come from usable readings only."""

    newest_at: datetime
    kw: float | None = None
    kw_at: datetime | None = None
    kwh_total: float | None = None
    kwh_total_at: datetime | None = None

    def at(self, value: str) -> datetime | None:
        """Time at which a value was measured."""
        return self.kw_at if value == "kw" else self.kwh_total_at

    def has(self, value: str) -> bool:
        return self.at(value) is not None

    def without(self, value: str) -> Newest:
        return replace(self, **{value: None, f"{value}_at": None})

    def only(self, value: str) -> Newest:
        return self.without("kwh_total" if value == "kw" else "kw")

    def over(self, earlier: Newest) -> Newest:
        """Combine with `earlier` values; newer ones win."""
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


Meters = dict[str, Newest]
"""Meter id -> newest values, of one facility."""
VALUES = ("kw", "kwh_total")
ValueKey = tuple[str, str, str]
"""Facility, meter and one of VALUES."""
NOTHING = Newest(datetime(1970, 1, 1, tzinfo=UTC))


def newest_in(
    conn: Connection, spans: Sequence[ChunkRange], recent: ReadingBlock | None = None
) -> dict[str, Meters]:
    """The newest values of each facility's meters in ranges, whatever their owners; `recent` as for
    `readings_in`."""
    if not spans:
        return {}
    numbers = {facility_id: n for n, facility_id in enumerate(sorted({span.facility_id for span in spans}))}
    names = list(numbers)
    owned = [span._replace(owner=numbers[span.facility_id]) for span in spans]
    found = readings_in(conn, owned, recent)
    columns, counts = found.columns, usable(found.columns)
    everything = _last_index(found, np.ones(len(columns), dtype=np.bool_)).tolist()
    powers, registers = (
        _last_index(found, counts & np.isfinite(values)).tolist()
        for values in (columns.kw, columns.kwh_total)
    )
    ts_us, kw, kwh_total = columns.ts_us.tolist(), columns.kw.tolist(), columns.kwh_total.tolist()
    moments: dict[int, datetime] = {}

    def at(index: int) -> datetime:
        us = ts_us[index]
        if us not in moments:
            moments[us] = POSTGRES_EPOCH + timedelta(microseconds=us)
        return moments[us]

    newest: dict[str, Meters] = {}
    for (owner, meter_id), last, power, register in zip(
        found.meters, everything, powers, registers, strict=True
    ):
        newest.setdefault(names[owner], {})[meter_id] = Newest(
            at(last),
            kw[power] if power >= 0 else None,
            at(power) if power >= 0 else None,
            kwh_total[register] if register >= 0 else None,
            at(register) if register >= 0 else None,
        )
    return newest


def look_back(conn: Connection, missing_values: Mapping[ValueKey, datetime]) -> dict[tuple[str, str], Newest]:
    """Newest values of meters in the day before quarter-hours that have no usable reading any more, by
    facility and meter.

    `missing_values`: the missing values, with the start of their quarter-hours.
    """
    by_start: dict[datetime, set[str]] = {}
    for (facility_id, _, _), start in missing_values.items():
        by_start.setdefault(start, set()).add(facility_id)
    found: dict[tuple[str, str], Newest] = {}
    for start, facility_ids in by_start.items():
        requested = {one for one, at in missing_values.items() if at == start}
        # The value is nearly always in the quarter-hour before. A whole day of many facilities would not fit
        # into memory.
        spans = [span for f in facility_ids for span in chunk_ranges(0, f, start - INTERVAL, start)]
        missing = _collect(newest_in(conn, spans), requested, found)
        for facility_id in {facility_id for facility_id, _, _ in missing}:
            day = newest_in(conn, chunk_ranges(0, facility_id, start - RETIRED_AFTER, start))
            _collect(day, {one for one in missing if one[0] == facility_id}, found)
    return found


def _collect(
    newest: Mapping[str, Meters], requested: Collection[ValueKey], found: dict[tuple[str, str], Newest]
) -> list[ValueKey]:
    """Add the values that exist to `found`. Returns the missing ones."""
    missing = []
    for facility_id, meter_id, value in requested:
        one = newest.get(facility_id, {}).get(meter_id, NOTHING)
        if one.has(value):
            place = facility_id, meter_id
            found[place] = one.only(value).over(found.get(place, NOTHING))
        else:
            missing.append((facility_id, meter_id, value))
    return missing


def _last_index(found: StoredReadings, which: Any) -> IntArray:
    """Per meter, the index of its last reading among `which`; -1 without one."""
    last = np.full(len(found.meters), -1)
    where = np.flatnonzero(which)
    last[found.columns.meter[where]] = where
    return last

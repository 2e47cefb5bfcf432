"""Facilities that serve soon, or now, and whose meters' readings are missing: what `readings_missing` states.

Measurement compares the meters with a baseline out of their readings: what is missing then cannot be measured
afterwards. The only state between two runs is that of the stores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from application.forecast.degraded_alert import RequestedFacility, Serving
from application.ports.clock import Clock
from application.ports.telemetry.listed_meters import ListedMeters
from application.ports.telemetry.store import CurrentValue, TelemetryStore
from domain.telemetry.intervals import interval_start
from domain.time_series.windows import TimeWindow

MISSING = "readings_missing"
SILENT_AFTER = timedelta(minutes=5)
"""A meter without a reading for longer is silent; on an accelerated clock for at least SILENT_AFTER_WALL_S."""
SILENT_AFTER_WALL_S = 10.0
LONGEST_SILENCE = timedelta(minutes=30)
"""However fast the clock is."""
COVERED = timedelta(hours=1)
LEAST_COVERAGE_PCT = 90.0
"""Of the last whole quarter-hours of COVERED."""
_NAMED = 3


class MissingReadings:
    """The readings of facilities that are missing now, from two queries of the store for all of them."""

    def __init__(self, store: TelemetryStore, meters: ListedMeters, clock: Clock) -> None:
        self._store = store
        self._meters = meters
        self._clock = clock

    def of(self, facility_ids: Collection[str]) -> dict[str, str]:
        """Facility -> what is missing, in words; those of which nothing is are left out.

        Raises TelemetryStoreUnavailable or ListedMetersUnavailable.
        """
        ids = sorted(facility_ids)
        if not ids:
            return {}
        now, listing = self._clock.now(), self._meters.among(ids)
        wait = self._wait()
        values = {value.facility_id: value for value in self._store.current(ids)}
        ends_at = interval_start(now - wait)
        block = self._store.interval_series_of(ids, TimeWindow(ends_at - COVERED, ends_at))
        coverage = dict(zip(block.facility_ids, block.coverage_pct.mean(axis=1).tolist(), strict=True))
        found = {
            one: _shortage(listing.get(one, frozenset()), values.get(one), coverage[one], now - wait)
            for one in ids
        }
        return {one: detail for one, detail in found.items() if detail is not None}

    def silent_of(self, listing: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
        """Facility -> those of its meters in `listing` that are silent; where it lists none, of those that sent in the
        last day. Facilities without a silent meter are left out. Raises TelemetryStoreUnavailable."""
        since = self._clock.now() - self._wait()
        values = {value.facility_id: value for value in self._store.current(sorted(listing))}
        silent = {one: _silent(listed, values.get(one), since) for one, listed in listing.items()}
        return {one: meters for one, meters in silent.items() if meters}

    def _wait(self) -> timedelta:
        """After such a time without a reading a meter is silent."""
        wait = timedelta(seconds=SILENT_AFTER_WALL_S / self._clock.wall_seconds(1.0))
        return min(max(SILENT_AFTER, wait), LONGEST_SILENCE)


def _newest(value: CurrentValue | None) -> dict[str, datetime]:
    return {} if value is None else {meter.meter_id: meter.newest_reading_at for meter in value.meters}


def _silent(listed: Collection[str], value: CurrentValue | None, since: datetime) -> list[str]:
    newest = _newest(value)
    return [one for one in sorted(listed or newest) if one not in newest or newest[one] < since]


def _shortage(
    listed: frozenset[str], value: CurrentValue | None, coverage_pct: float, since: datetime
) -> str | None:
    meters = listed or _newest(value).keys()
    if not meters:
        return "it lists no meter, and none sends"
    if silent := _silent(listed, value, since):
        more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
        return f"{len(silent)} of {len(meters)} meters are silent: {', '.join(silent[:_NAMED])}{more}"
    if coverage_pct < LEAST_COVERAGE_PCT:
        return f"of the last hour's readings {coverage_pct:.0f} % are there"
    return None


def short_facilities(
    requested: Collection[RequestedFacility],
    missing: Callable[[Collection[str]], Mapping[str, str]],
    *,
    serving: Serving,
) -> dict[str, str]:
    """Facility -> what is missing: each that serves soon or now and is short.

    `missing` is MissingReadings.of, `serving` returns those that still take part.
    """
    found = missing({one.facility_id for one in requested})
    lacking = [one for one in requested if one.facility_id in found]
    lacking.sort(key=lambda one: (one.starts_at, one.utility_event_id))
    short: dict[str, str] = {}
    for one in serving(lacking):
        detail = (
            f"{found[one.facility_id]}; {one.utility_event_id} asks for it from {one.starts_at.isoformat()}"
        )
        short.setdefault(one.facility_id, detail)
    return short

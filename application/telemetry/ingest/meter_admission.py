"""Admission of readings: only those of meters that the portfolio lists count (ADR 0069).

The others become malformed messages, and so dead letters, which are replayed once their meter is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Iterable, Sequence
from datetime import datetime
from itertools import compress
from time import monotonic

import msgspec

from application.ports.telemetry.listed_meters import ListedMeters, Listing
from application.telemetry.ingest.fast_parser import PlainReadings
from application.telemetry.ingest.late_days import LateDayQuota
from application.telemetry.ingest.message_parser import (
    MalformedReading,
    ParsedMessage,
    items_of_readings,
)
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_block import SEPARATOR

UNKNOWN_METER = "unknown meter"
"""The beginning of the reason of such a message."""
MAX_UNLISTED_METERS = 1_000
"""Meters of a facility that lists none. Ids come from devices: without a bound a login could invent any number."""

LATE = "late: this meter and others report more days of the past at once than are accepted; replay this later"
"""The reason of readings of the past that could not be stored yet."""


class MeterAdmission:
    """The meters that the portfolio lists, as last read. All but `reload` and `reload_some` belong to one event
    loop."""

    def __init__(
        self,
        listed: ListedMeters,
        *,
        late_days: LateDayQuota | None = None,
        max_unlisted_meters: int = MAX_UNLISTED_METERS,
    ) -> None:
        self._listed = listed
        self.listing: dict[str, frozenset[str]] = {}
        """The meters of each facility, as last read."""
        self._deactivated: frozenset[str] = frozenset()
        self._version: Hashable = None
        self._max_unlisted_meters = max_unlisted_meters
        self._unlisted: dict[str, set[str]] = {}
        """Meters seen of each facility that lists none."""
        self._late_days = late_days or LateDayQuota()

    async def reload(self) -> float:
        """Read the portfolio if it changed. Returns the wall seconds of the reading: the wait for a database that is
        away does not count. Raises ListedMetersUnavailable; what was read last then stays."""
        version = await asyncio.to_thread(self._listed.version)
        began_s = monotonic()
        if version is None or version != self._version:
            self.listing = await asyncio.to_thread(self._listed.everything)
            self._deactivated = await asyncio.to_thread(self._listed.deactivated)
            self._version = version
        return monotonic() - began_s

    async def reload_some(self, facility_ids: Collection[str]) -> None:
        """Read single facilities anew. Raises ListedMetersUnavailable."""
        found: Listing = await asyncio.to_thread(self._listed.among, facility_ids)
        for facility_id in facility_ids:
            if facility_id in found:
                self.listing[facility_id] = found[facility_id]
            else:
                self.listing.pop(facility_id, None)

    def is_deactivated(self, facility_id: str) -> bool:
        """True if a person took the facility out: what its meters go on sending is no error."""
        return facility_id in self._deactivated and facility_id not in self.listing

    def unknown_meters(self, parsed: ParsedMessage) -> frozenset[str]:
        """The meters of one message that do not count."""
        readings = parsed.readings
        if isinstance(readings, PlainReadings):
            joined = readings.meter_ids
            meters = self.listing.get(parsed.facility_id)
            if meters and (joined in meters or meters.issuperset(joined.split(SEPARATOR))):
                return frozenset()
            return self._unknown(parsed.facility_id, joined.split(SEPARATOR))
        return self._unknown(parsed.facility_id, [reading.meter_id for reading in readings])

    def _unknown(self, facility_id: str, meter_ids: Iterable[str]) -> frozenset[str]:
        meters = self.listing.get(facility_id)
        if meters is None:
            return frozenset(meter_ids)
        if meters:
            return frozenset(meter_ids) - meters
        seen = self._unlisted.setdefault(facility_id, set())
        refused = set()
        for meter_id in meter_ids:
            if meter_id in seen:
                continue
            if len(seen) < self._max_unlisted_meters:
                seen.add(meter_id)
            else:
                refused.add(meter_id)
        return frozenset(refused)

    def without_late_days(
        self, parsed: ParsedMessage, topic: str, payload: bytes, *, now: datetime, now_s: float
    ) -> ParsedMessage:
        """`parsed` with the readings of days that cannot be opened now as one malformed message."""
        moments = [reading.ts for reading in parsed.readings]
        days = self._late_days.refused(parsed.facility_id, moments, now=now, now_s=now_s)
        if not days:
            return parsed
        return _without(parsed, [moment.date() in days for moment in moments], LATE, topic, payload)

    def refusal(
        self, parsed: ParsedMessage, unknown: frozenset[str], topic: str, payload: bytes
    ) -> ParsedMessage:
        """`parsed` with the readings of the meters in `unknown` as one malformed message, which can be replayed."""
        readings = parsed.readings
        is_unknown = [reading.meter_id in unknown for reading in readings]
        return _without(parsed, is_unknown, self._reason(parsed.facility_id, unknown), topic, payload)

    def _reason(self, facility_id: str, unknown: frozenset[str]) -> str:
        meters = self.listing.get(facility_id)
        if meters is None:
            return (
                f"{UNKNOWN_METER}: the portfolio has no facility {facility_id}, or it was just deactivated; import "
                "or reactivate it, then replay this"
            )
        named = ", ".join(sorted(unknown)[:3]) + (", ..." if len(unknown) > 3 else "")
        if not meters:
            return (
                f"{UNKNOWN_METER}: {facility_id} lists no meters, and {self._max_unlisted_meters} others of it "
                f"report; list {named} in the portfolio, then replay this"
            )
        return (
            f"{UNKNOWN_METER}: {facility_id} does not list {named}; "
            "list it with `gridproof facilities import`, then replay this"
        )


def _without(
    parsed: ParsedMessage, is_refused: Sequence[bool], reason: str, topic: str, payload: bytes
) -> ParsedMessage:
    """`parsed` with the refused readings, at least one, as one malformed message, which can be replayed."""
    readings = parsed.readings
    refused = list(compress(readings, is_refused))
    body = items_of_readings(topic, payload, refused, parsed.malformed)
    is_kept = [not one for one in is_refused]
    if isinstance(readings, PlainReadings):
        kept: Sequence[MeterReading] = readings.chosen(is_kept)
    else:
        kept = list(compress(readings, is_kept))
    malformed = (*parsed.malformed, MalformedReading(topic, reason, body))
    return msgspec.structs.replace(parsed, readings=kept, malformed=malformed)

"""The meters of a facility as the portfolio and the store have them, and the removal of a stray's readings.

A stray is a meter with stored readings that the portfolio does not list. Ingest admits none, but
those that were listed when they were stored count in rollups, and are expected for a day after the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from application.ports.operations.act_log import ActLog
from application.ports.telemetry.listed_meters import ListedMeters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.stored_meters import ReadingRemoval, StoredExtent, StoredMeter, StoredMeters
from domain.administration import AdministrativeAct
from domain.errors import UnknownFacility
from domain.event_sourcing.aggregate import Provenance
from domain.telemetry.meter_reading import partition_of

MAX_REASON = 1_000
FINALIZED_AT_ONCE = 200
"""Quarter-hours in one transaction, as in the aggregate worker."""


class RemovalRefused(ValueError):
    """The readings of that meter are not removed. The text says why."""


class FacilityMeters(msgspec.Struct, frozen=True, kw_only=True):
    """The knowledge of a facility's meters."""

    facility_id: str
    listed: tuple[str, ...]
    stored: tuple[StoredMeter, ...]
    removals: tuple[ReadingRemoval, ...]

    @property
    def strays(self) -> tuple[StoredMeter, ...]:
        """None where the portfolio lists no meters: then any may send."""
        return tuple(one for one in self.stored if self.listed and one.meter_id not in self.listed)

    @property
    def never_sent(self) -> tuple[str, ...]:
        """Listed meters without stored readings."""
        stored = {one.meter_id for one in self.stored}
        return tuple(one for one in self.listed if one not in stored)


class RemovalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a removal."""

    facility_id: str
    meter_id: str
    readings: int
    first_at: datetime
    newest_at: datetime
    corrected: int
    """Quarter-hours whose finalized values changed; the measurements that used them are made again."""


def facility_meters(stored: StoredMeters, meters: ListedMeters, facility_id: str) -> FacilityMeters:
    """Raises UnknownFacility, ListedMetersUnavailable or TelemetryStoreUnavailable."""
    return FacilityMeters(
        facility_id=facility_id,
        listed=tuple(sorted(_listed(meters, facility_id))),
        stored=tuple(stored.meters(facility_id)),
        removals=tuple(stored.removals(facility_id)),
    )


def remove_stray(
    stored: StoredMeters,
    meters: ListedMeters,
    rollups: TelemetryRollups,
    acts: ActLog,
    provenance: Provenance,
    *,
    facility_id: str,
    meter_id: str,
    reason: str,
) -> RemovalReport:
    """Record the act, remove the readings, and finalize what they were part of, which records the corrections.

    Repeating it after an interruption does the rest. Raises RemovalRefused, UnknownFacility, RemovalNotSupported,
    or that a store is unavailable.
    """
    _check_is_stray(_listed(meters, facility_id), facility_id, meter_id)
    extent = _extent(stored, facility_id, meter_id)
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise RemovalRefused(f"a reason has 1 to {MAX_REASON} characters")
    act = AdministrativeAct.remove_meter_readings(
        provenance,
        facility_id=facility_id,
        meter_id=meter_id,
        readings=extent.readings,
        first_at=extent.first_at,
        newest_at=extent.newest_at,
    )
    acts.record([act])
    removal = ReadingRemoval(
        act_id=act.id,
        facility_id=facility_id,
        meter_id=meter_id,
        reason=reason.strip(),
        removed_at=provenance.recorded_at,
    )
    readings = stored.remove(removal)
    return RemovalReport(
        facility_id=facility_id,
        meter_id=meter_id,
        readings=readings,
        first_at=extent.first_at,
        newest_at=extent.newest_at,
        corrected=_finalized(rollups, partition_of(facility_id)),
    )


def _check_is_stray(listed: frozenset[str], facility_id: str, meter_id: str) -> None:
    """Raises RemovalRefused."""
    if not listed:
        raise RemovalRefused(
            f"{facility_id} lists no meters, so that any may send; list those that it has in the portfolio first"
        )
    if meter_id in listed:
        raise RemovalRefused(
            f"the portfolio lists {meter_id}; remove it there first, if its readings are not of {facility_id}"
        )


def _extent(stored: StoredMeters, facility_id: str, meter_id: str) -> StoredExtent:
    """Raises RemovalRefused where there is nothing to remove."""
    extent = stored.extent(facility_id, meter_id)
    if extent is None:
        raise RemovalRefused(f"no reading of a meter {meter_id} of {facility_id} is stored")
    return extent


def _listed(meters: ListedMeters, facility_id: str) -> frozenset[str]:
    listing = meters.among([facility_id])
    if facility_id not in listing:
        raise UnknownFacility(f"no facility {facility_id}; see `gridproof facilities list`")
    return listing[facility_id]


def _finalized(rollups: TelemetryRollups, partition: int) -> int:
    corrected = 0
    while True:
        result = rollups.finalize(partition, limit=FINALIZED_AT_ONCE)
        corrected += result.corrected
        if result.quarters < FINALIZED_AT_ONCE and not result.more:
            return corrected


def meter_rows(found: FacilityMeters) -> Sequence[tuple[str, str, StoredMeter | None]]:
    """(meter, `listed` or `stray`, what is stored of it), the listed ones first."""
    stored = {one.meter_id: one for one in found.stored}
    strays = {one.meter_id for one in found.strays}
    names = [*found.listed, *sorted(stored.keys() - set(found.listed))]
    return [
        (name, "listed" if name in found.listed else "stray" if name in strays else "sends", stored.get(name))
        for name in names
    ]

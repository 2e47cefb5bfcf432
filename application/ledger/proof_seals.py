"""Seals of readings in a proof: whether the values of each day digest to what was sealed of that day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from application.ledger.proof_document import ProofBroken
from application.ledger.proof_measurements import DecodedRow
from application.ledger.proof_readings import ProvenReadings
from domain.telemetry.day_digest import DayDigest, FacilityValues, readings_digest, temperatures_digest
from domain.telemetry.sealed_readings import DaySeals, HistorySeals, day_seals_id, history_seals_id
from domain.time_series.windows import local_day

SealState = Literal["sealed", "corrected_since", "differs", "not_sealed", "gone"]
"""`corrected_since`: a seal that is newer than the measurement has other values than one before it. `gone`: it begins
before the first value that is still stored, and has no longer the values of a seal."""


class SealedDigest(NamedTuple):
    """The digest of one local day that a domain event sealed."""

    position: int
    tz: str
    digest: DayDigest


DaySealsOf = Mapping[tuple[str, date], Sequence[SealedDigest]]
"""(facility, local day) -> its seals in the order of the log."""


class CheckedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A local day of a proof's readings, held against its seals."""

    day: date
    has_readings: bool
    state: SealState
    position: int | None
    """The position of the newest seal."""
    temperatures_sealed: bool
    """Whether temperatures that a measurement used have the digest of a seal."""
    may_have_changed: bool
    """Whether its values may be others than the measurement had: it was sealed since (also for the first time, as days
    before the first seals are when they are corrected), or is gone."""


def seals_of(rows: Iterable[DecodedRow], readings: Iterable[ProvenReadings]) -> DaySealsOf:
    """Raises ProofBroken for a row that is no seal of these readings."""
    facilities = {facility.facility_id for facility in readings}
    seals: defaultdict[tuple[str, date], list[SealedDigest]] = defaultdict(list)
    for row in rows:
        for facility_id, day, tz, digest in _digests(row, facilities):
            seals[facility_id, day].append(SealedDigest(row.position, tz, digest))
    return seals


def is_wanted(row: DecodedRow, days: Mapping[str, set[date]]) -> bool:
    """True if it seals one of those days (facility -> days)."""
    return any(day in days[facility_id] for facility_id, day, *_ in _digests(row, days.keys(), strict=False))


def _digests(
    row: DecodedRow, facilities: Iterable[str], *, strict: bool = True
) -> Iterator[tuple[str, date, str, DayDigest]]:
    match row.domain_event:
        case DaySeals.Sealed() as sealed if (
            sealed.facility_id in facilities
            and row.originator_id == day_seals_id(sealed.facility_id, sealed.day)
        ):
            yield sealed.facility_id, sealed.day, sealed.tz, sealed.digest
        case HistorySeals.Sealed() as sealed if (
            sealed.facility_id in facilities and row.originator_id == history_seals_id(sealed.facility_id)
        ):
            for n, digest in enumerate(sealed.days):
                if digest is not None:
                    yield sealed.facility_id, sealed.first_day + timedelta(days=n), sealed.tz, digest
        case _ if strict:
            raise ProofBroken(f"the domain event at position {row.position} seals no readings of this proof")
        case _:
            pass


def check_days(readings: ProvenReadings, seals: DaySealsOf, measured_at: int) -> list[CheckedDay]:
    """Every local day of the readings; `measured_at` is the position of their measurement. Raises ValueError."""
    values, tz = readings.values(), ZoneInfo(readings.tz)
    first_at = values.kw.first_value_at
    checked = []
    for day in readings.days():
        # A seal of that day in another time zone, which was in force then, is of other quarter-hours.
        of_day = [seal for seal in seals.get((readings.facility_id, day), ()) if seal.tz == readings.tz]
        whole = local_day(day, tz)
        own = values.within(whole)
        state = _state(own, of_day, measured_at)
        if state == "differs" and (first_at is None or whole.starts_at < first_at):
            state = "gone"
        checked.append(
            CheckedDay(
                day=day,
                has_readings=own.has_readings,
                state=state,
                position=of_day[-1].position if of_day else None,
                may_have_changed=state == "gone" or (bool(of_day) and of_day[-1].position > measured_at),
                temperatures_sealed=readings.temp_c is not None and _has_sealed_temperatures(own, of_day),
            )
        )
    return checked


def _state(values: FacilityValues, seals: Sequence[SealedDigest], measured_at: int) -> SealState:
    if not seals:
        return "not_sealed"
    digest = readings_digest(values)
    matches = [seal.digest.readings == digest for seal in seals]
    if not any(matches):
        return "differs"
    is_older = seals[-1].position < measured_at
    return "sealed" if matches[-1] and (is_older or all(matches)) else "corrected_since"


def _has_sealed_temperatures(values: FacilityValues, seals: Sequence[SealedDigest]) -> bool:
    """True if they are sealed. Temperatures of the weather cell, which fill the gaps of a facility's own, are not."""
    digest = temperatures_digest(values)
    return any(seal.digest.temperatures == digest for seal in seals)

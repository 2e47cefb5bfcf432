"""The day sealer: records the digests of local days of many facilities, in as few round trips as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from application.command_bus.retry import TRANSIENT
from application.event_store.event_mapper import UnknownTopic
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStore, SaveRequest
from application.ports.telemetry.store import TelemetryStore
from domain.event_sourcing.aggregate import Provenance
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import DaySeals, day_seals_id
from domain.time_series.windows import local_day

ACTOR = "worker:compute"
FACILITIES_AT_ONCE = 200
NOT_ISOLATED: tuple[type[Exception], ...] = (*TRANSIENT, UnknownTopic)
"""The error of a server that is away, or of what a newer process can read: it concerns all facilities."""


class FacilityDay(NamedTuple):
    """A local day of a facility."""

    day: date
    tz: str
    facility_id: str


Causes = Mapping[FacilityDay, UUID]
"""The correction behind a seal, where there is one."""


class SealingResult(NamedTuple):
    """The result for some days; those that needed no seal are in neither."""

    sealed: int
    failed: Mapping[FacilityDay, Exception]


@dataclass(frozen=True)
class DaySealer:
    """Synchronous. A repetition records nothing: a seal says what the values are, and equal values are sealed once."""

    store: EventStore
    telemetry: TelemetryStore
    clock: Clock

    def seal(
        self, days: Sequence[FacilityDay], *, causes: Causes | None = None, only_new: bool = False
    ) -> SealingResult:
        """Seal days that are final. A day without any reading is not sealed, unless it was before.

        `only_new`: leave out days that have a seal, whatever their values are now. Raises one of NOT_ISOLATED; every
        other error concerns only the facility that it is returned for.
        """
        sealed, failed = 0, dict[FacilityDay, Exception]()
        for block in _blocks(days):
            try:
                result = self._seal_block(block, causes or {}, only_new=only_new)
            except NOT_ISOLATED:
                raise
            except Exception as error:  # noqa: BLE001 - then each is sealed by itself, to see which it is
                if len(block) == 1:
                    failed[block[0]] = error
                    continue
                result = self._one_by_one(block, causes, only_new=only_new)
            sealed += result.sealed
            failed |= result.failed
        return SealingResult(sealed, failed)

    def _one_by_one(
        self, block: Sequence[FacilityDay], causes: Causes | None, *, only_new: bool
    ) -> SealingResult:
        results = [self.seal([one], causes=causes, only_new=only_new) for one in block]
        failed = {one: error for result in results for one, error in result.failed.items()}
        return SealingResult(sum(result.sealed for result in results), failed)

    def _seal_block(self, block: Sequence[FacilityDay], causes: Causes, *, only_new: bool) -> SealingResult:
        """Seal one local day in one time zone."""
        streams = {one: day_seals_id(one.facility_id, one.day) for one in block}
        known = self.store.load_many(DaySeals, list(streams.values()))
        is_sealed = {
            one: (seals := known.get(stream)) is not None and one.day.isoformat() in seals.state.days
            for one, stream in streams.items()
        }
        open_days = [one for one in block if not (only_new and is_sealed[one])]
        if not open_days:
            return SealingResult(0, {})
        ids = [one.facility_id for one in open_days]
        window = local_day(block[0].day, ZoneInfo(block[0].tz))
        values = self.telemetry.interval_series_of(ids, window)
        pending = []
        for one in open_days:
            of_day = FacilityValues.of(values, one.facility_id)
            if not of_day.has_readings and not is_sealed[one]:
                continue
            provenance = self._provenance(one, streams[one], causes.get(one))
            seals = known.get(streams[one]) or DaySeals.open(
                provenance, facility_id=one.facility_id, day=one.day
            )
            seals.seal(provenance, day=one.day, tz=one.tz, digest=day_digest(of_day))
            if seals.pending_events:
                pending.append((one, seals))
        outcomes = self.store.save_each([SaveRequest([seals]) for _, seals in pending])
        failed = {one: error for (one, _), error in zip(pending, outcomes, strict=True) if error is not None}
        for error in failed.values():
            if isinstance(error, NOT_ISOLATED):
                raise error
        return SealingResult(len(pending) - len(failed), failed)

    def _provenance(self, one: FacilityDay, stream: UUID, cause: UUID | None) -> Provenance:
        causation_id = cause or uuid5(stream, f"final:{one.day.isoformat()}")
        return Provenance(
            correlation_id=stream,
            causation_id=causation_id,
            actor=ACTOR,
            tenant=None,
            trace_id=causation_id.hex,
            recorded_at=self.clock.now(),
        )


def _blocks(days: Sequence[FacilityDay]) -> Iterator[list[FacilityDay]]:
    """At most FACILITIES_AT_ONCE of one local day in one time zone."""
    for _, same in groupby(sorted(set(days)), key=lambda one: (one.day, one.tz)):
        block = list(same)
        for start in range(0, len(block), FACILITIES_AT_ONCE):
            yield block[start : start + FACILITIES_AT_ONCE]

"""Sealing: records the digests of each local day's readings once the day is final, and again after corrections.

Which days are due follows from the facilities' time zones and the position of the reader, so that a restart loses
nothing. Corrections are read in order, in batches, like those that are measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStore
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.telemetry.rollups import TelemetryRollups
from application.telemetry.sealing.day_sealer import DaySealer, FacilityDay, SealingResult
from domain.dispatch import REMEASURED_FOR
from domain.facility import Locations
from domain.identifiers import correction_cause_id
from domain.telemetry.intervals import interval_start
from domain.telemetry.sealed_readings import FINAL_AFTER, final_at
from domain.time_series.windows import local_date
from interfaces.workers.compute.failing_subjects import FailingSubjects

FINAL_READER, CORRECTION_READER = "seal-days", "seal-again"
ALERT = "sealing_failing"
RETRY_S = 60.0
"""Wall seconds until a day that failed is tried again."""
RIPE_AFTER = timedelta(minutes=5)
MOST_CORRECTIONS, MOST_DAYS = 5_000, 2_000
"""In one pass."""
FIRST_DAYS = timedelta(days=1)
"""What a system seals that has not sealed before: earlier days are sealed when they are corrected."""
AHEAD = timedelta(minutes=15)
"""A position further ahead of now was reached by a clock that was wrong: two clocks that are right may differ by a
quarter-hour's start."""
LONGEST_PAUSE = REMEASURED_FOR
"""Days that became final longer ago are not sealed any more after a pause."""
LONGEST_DAY = timedelta(days=2)
"""More than a local day, and the time until it is final."""


class SealedSite(NamedTuple):
    """A facility whose readings are sealed by the days of the time zone that was in force. Of one that is not active
    only corrections are: its readings may belong to a measurement."""

    facility_id: str
    locations: Locations
    is_active: bool = True


@dataclass
class Sealing:
    """`sites` returns the facilities whose readings are sealed.

    `clock` raises ClockSkewed while it is wrong, and so does the clock of `sealer`: a day that is sealed before it is
    over has a digest of its first hours.
    """

    sites: Callable[[], Sequence[SealedSite]]
    corrections: TelemetryRollups
    positions: ReaderPositions
    store: EventStore
    sealer: DaySealer
    clock: Clock
    failing: FailingSubjects
    confirm_clock: Callable[[], None] = lambda: None
    """Compares the clock with the database's at once. Raises ClockSkewed if it is wrong."""
    _due: list[FacilityDay] = field(default_factory=list)
    """Days that became final until `_due_until`, and are still to be sealed."""
    _due_until: datetime | None = None
    _reached: datetime | None = None
    """The end of the last round of this process."""
    _seals_again: bool = False
    """Whether days that have a seal are compared with it: it may be of a clock that was ahead."""

    def reset(self) -> None:
        self.failing.reset()

    def pass_once(self) -> int:
        """Seal what is due; returns the number of seals.

        Raises ClockSkewed, EventStoreUnavailable, TelemetryStoreUnavailable, ReadModelsUnavailable,
        OperationsUnavailable, UnknownTopic, which a newer process can read, or TooManyFailing.
        """
        return self._seal_failing() + self._seal_final() + self._seal_corrected()

    def _seal_failing(self) -> int:
        failing = self.failing.to_try()
        if not failing:
            return 0
        sites = {site.facility_id: site.locations for site in self.sites()}
        known = []
        for subject in failing:
            facility_id, day = _day_of(subject)
            if (locations := sites.get(facility_id)) is None:  # it is not known any more
                self.failing.succeeded(subject)
            else:
                known.append(FacilityDay(day, locations.on(day).tz, facility_id))
        result = self.sealer.seal(known)
        self._note(known, result)
        return result.sealed

    def _seal_final(self) -> int:
        """The next MOST_DAYS of those that became final since the last round."""
        until = interval_start(self.clock.now())
        if self._due_until is None:
            self.confirm_clock()  # else the days due by a wrong clock would be sealed once it is right
            since = self._since(until)
            if since >= until:  # local days end at whole quarter-hours
                return 0
            if not (sites := self.sites()):  # a new system, or its read model is not made yet
                return 0
            self._due = list(_days_final(sites, max(since, until - LONGEST_PAUSE), until))
            self._due_until = until
        now_due, later = self._due[:MOST_DAYS], self._due[MOST_DAYS:]
        result = self.sealer.seal(now_due, only_new=not self._seals_again)
        self._note(now_due, result)
        self._due = later
        if not later:
            self.positions.move(FINAL_READER, int(self._due_until.timestamp()))
            self._reached, self._due_until = self._due_until, None
        return result.sealed

    def _since(self, until: datetime) -> datetime:
        """The end of the last round. A position never moves back: one that a wrong clock moved ahead is passed over."""
        stored = self.positions.position(FINAL_READER)
        reached = datetime.fromtimestamp(stored, UTC) if stored else None
        self._seals_again = reached is not None and reached > until + AHEAD
        if reached is not None and not self._seals_again:
            return reached
        first = until - FIRST_DAYS
        # Its own may be ahead as well.
        return first if self._reached is None or self._reached > until + AHEAD else self._reached

    def _seal_corrected(self) -> int:
        """The days of the next corrections. One that is not final yet is sealed when it is."""
        now = self.clock.now()
        read = self.corrections.corrections_after(
            self.positions.position(CORRECTION_READER), limit=MOST_CORRECTIONS
        )
        ripe = list(takewhile(lambda one: one.corrected_at <= now - RIPE_AFTER, read))
        if not ripe:
            return 0
        sites = {site.facility_id: site.locations for site in self.sites()}
        causes: dict[FacilityDay, UUID] = {}
        for one in ripe:
            if (locations := sites.get(one.facility_id)) is None:
                continue
            tz = ZoneInfo(locations.at(one.starts_at).tz)
            day = local_date(one.starts_at, tz)
            if final_at(day, tz) <= now:
                causes[FacilityDay(day, tz.key, one.facility_id)] = correction_cause_id(one.correction_id)
        result = self.sealer.seal(list(causes), causes=causes)
        self._note(list(causes), result)
        self.positions.move(CORRECTION_READER, ripe[-1].correction_id)
        return result.sealed

    def _note(self, tried: Sequence[FacilityDay], result: SealingResult) -> None:
        for one in tried:
            subject = f"{one.facility_id}/{one.day.isoformat()}"
            if (error := result.failed.get(one)) is not None:
                self.failing.failed(subject, error)
            else:
                self.failing.succeeded(subject)


def _day_of(subject: str) -> tuple[str, date]:
    facility_id, _, day = subject.rpartition("/")
    return facility_id, date.fromisoformat(day)


def _days_final(sites: Sequence[SealedSite], since: datetime, until: datetime) -> Iterator[FacilityDay]:
    """The local days that became final after `since`, up to `until`."""
    days_of: dict[str, list[date]] = {}
    for site in sites:
        if not site.is_active:
            continue
        zones = {site.locations.at(since - LONGEST_DAY).tz, site.locations.at(until).tz}
        for tz in sorted(zones):
            if tz not in days_of:
                days_of[tz] = _days_of_zone(ZoneInfo(tz), since, until)
            yield from (
                FacilityDay(day, tz, site.facility_id)
                for day in days_of[tz]
                if site.locations.on(day).tz == tz
            )


def _days_of_zone(tz: ZoneInfo, since: datetime, until: datetime) -> list[date]:
    first = local_date(since - FINAL_AFTER, tz) - timedelta(days=1)
    days = [first + timedelta(days=n) for n in range((until - since).days + 4)]
    return [day for day in days if since < final_at(day, tz) <= until]

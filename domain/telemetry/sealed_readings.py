"""Seals of readings: the digests of quarter-hour values, recorded when a local day is final and on each correction.

The values themselves stay in the telemetry store (ADR 0006). One stream holds the days of a facility in one calendar
month, so that no stream grows for ever; another holds its imports of history (ADR 0075).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Self
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from domain.event_sourcing.aggregate import Aggregate, CreationEvent, Provenance
from domain.identifiers import NAMESPACE
from domain.telemetry.day_digest import DayDigest
from domain.telemetry.facility_rollups import LATE_AFTER
from domain.time_series.windows import local_day

FINAL_AFTER = LATE_AFTER
"""After the end of a local day: from then on every change of its quarter-hours is recorded as a correction."""
MOST_DAYS = 400
"""Days of an import that its seal has digests of, the newest: no measurement looks back further."""


class SealedDay(msgspec.Struct, frozen=True, kw_only=True):
    """The newest seal of a day."""

    revision: int
    digest: DayDigest


class DaySealsState(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed days of a facility in one month."""

    facility_id: str
    month: str
    days: dict[str, SealedDay] = {}
    """By ISO date."""


class DaySeals(Aggregate[DaySealsState]):
    """The seals of a facility's local days of one calendar month."""

    TOPIC: ClassVar[str] = "day-seals"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        """The base of every domain event of the seals of days."""

        TOPIC: ClassVar[str] = "day-seals.event"

    class Opened(CreationEvent, Event, frozen=True, kw_only=True):
        """The first day of the month is sealed with it."""

        TOPIC: ClassVar[str] = "day-seals.opened.v1"
        originator_topic: str
        facility_id: str
        month: str
        """Such as 2026-07."""

        def initial_state(self) -> DaySealsState:
            return DaySealsState(facility_id=self.facility_id, month=self.month)

    class Sealed(Event, frozen=True, kw_only=True):
        """The quarter-hour values of a local day had this digest. Revision 1 is its first seal, a higher one follows a
        correction."""

        TOPIC: ClassVar[str] = "day-seals.sealed.v1"
        facility_id: str
        day: date
        tz: str
        revision: int
        digest: DayDigest

        def evolve(self, state: DaySealsState) -> DaySealsState:
            sealed = SealedDay(revision=self.revision, digest=self.digest)
            return replace(state, days={**state.days, self.day.isoformat(): sealed})

    @classmethod
    def open(cls, provenance: Provenance, *, facility_id: str, day: date) -> Self:
        """Begin the stream of the month of `day`."""
        return cls.open_stream(
            day_seals_id(facility_id, day),
            cls.Opened,
            provenance,
            facility_id=facility_id,
            month=month_of(day),
        )

    def seal(self, provenance: Provenance, *, day: date, tz: str, digest: DayDigest) -> None:
        """Record the digest of a day that is final; the same values again record nothing."""
        sealed = self.state.days.get(day.isoformat())
        if sealed is not None and sealed.digest == digest:
            return
        self.record(
            self.Sealed,
            provenance,
            facility_id=self.state.facility_id,
            day=day,
            tz=tz,
            revision=1 if sealed is None else sealed.revision + 1,
            digest=digest,
        )


class HistorySealsState(msgspec.Struct, frozen=True, kw_only=True):
    """The imports of one facility; their digests are read from the log."""

    facility_id: str
    imports: int = 0


class HistorySeals(Aggregate[HistorySealsState]):
    """The seals of the history that was imported for one facility."""

    TOPIC: ClassVar[str] = "history-seals"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        """The base of every domain event of the seals of imports."""

        TOPIC: ClassVar[str] = "history-seals.event"

    class Opened(CreationEvent, Event, frozen=True, kw_only=True):
        """The first import of the facility is sealed with it."""

        TOPIC: ClassVar[str] = "history-seals.opened.v1"
        originator_topic: str
        facility_id: str

        def initial_state(self) -> HistorySealsState:
            return HistorySealsState(facility_id=self.facility_id)

    class Sealed(Event, frozen=True, kw_only=True):
        """The local days that an import of history touched had these digests after it. Its correlation id is that of
        `AdministrativeAct.HistoryImportBegun`, which has the digest of the file; or of `HistoryImportTakenBack`."""

        TOPIC: ClassVar[str] = "history-seals.sealed.v1"
        facility_id: str
        tz: str
        starts_at: datetime
        ends_at: datetime
        step_s: int
        rows: int
        first_day: date
        """The day of the first of `days`."""
        days: tuple[DayDigest | None, ...]
        """Consecutive local days up to the last one, the newest MOST_DAYS; None: nothing is known of that day, or it is
        not over."""
        is_taken_back: bool = False
        """Whether the import was taken back: these are the digests without it, also of days that have nothing left."""

        def evolve(self, state: HistorySealsState) -> HistorySealsState:
            return replace(state, imports=state.imports + 1)

    @classmethod
    def open(cls, provenance: Provenance, *, facility_id: str) -> Self:
        """Begin the stream of a facility."""
        return cls.open_stream(history_seals_id(facility_id), cls.Opened, provenance, facility_id=facility_id)

    def seal(
        self,
        provenance: Provenance,
        *,
        tz: str,
        starts_at: datetime,
        ends_at: datetime,
        step_s: int,
        rows: int,
        first_day: date,
        days: tuple[DayDigest | None, ...],
        is_taken_back: bool = False,
    ) -> None:
        """Record the digests of the days that an import, or its removal, touched."""
        self.record(
            self.Sealed,
            provenance,
            facility_id=self.state.facility_id,
            tz=tz,
            starts_at=starts_at,
            ends_at=ends_at,
            step_s=step_s,
            rows=rows,
            first_day=first_day,
            days=days,
            is_taken_back=is_taken_back,
        )


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def day_seals_id(facility_id: str, day: date) -> UUID:
    """The stream of the seals of a facility's days in the month of `day`."""
    return uuid5(NAMESPACE, f"day-seals:{facility_id}:{month_of(day)}")


def history_seals_id(facility_id: str) -> UUID:
    """The stream of the seals of a facility's imports."""
    return uuid5(NAMESPACE, f"history-seals:{facility_id}")


def final_at(day: date, tz: ZoneInfo) -> datetime:
    """When the readings of a local day are final, UTC."""
    return local_day(day, tz).ends_at + FINAL_AFTER

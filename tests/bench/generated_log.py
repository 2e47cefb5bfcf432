"""Generates a log of any length: the complete domain events of one DR event, repeated with other ids.

The real aggregates produce the domain events once. Each repetition replaces the stream ids, and the causation ids that
refer to them, in the stored JSON. So a million domain events take seconds, and every DR event is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid5

import msgspec
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import encode_state
from domain.dispatch import Dispatch, Setpoint, ZonePlan
from domain.dr_event import Batch, DREvent, FacilityTarget, Notice
from domain.event_sourcing.aggregate import Aggregate, DomainEvent, Provenance, domain_event_id
from domain.facility import BmsLink, Enrolment, Facility, Limits, Reservation, Zone

STARTS_AT = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
FACILITIES = tuple(f"fac-{number:03}" for number in range(1, 4))
_UTILITY = "bench-utility"
_IDS = UUID("5f0d2c3e-9a57-5b0e-8d0a-3f6a1f6f7d10")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BMS = BmsLink(address="http://127.0.0.1:9/bms", profile="two_phase", credentials_ref="env:NOBODY")


class StoredRow(msgspec.Struct, frozen=True):
    """One row of the log without its position."""

    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes


def generated_log(domain_events: int) -> Iterator[StoredRow]:
    """Yields at least that many rows: the facilities' registrations, then complete DR events in sequence."""
    dr_event_template = _DREventTemplate()
    dr_event_template.facilities_agree()
    written = 0
    for row in map(_stored, dr_event_template.take()):
        written += 1
        yield row
    dr_event_template.happens()
    repeated = _Repeated(
        dr_event_template.take(), {item.id: item.version for item in dr_event_template.facilities}
    )
    for number in count():
        for row in repeated.repetition(number):
            written += 1
            yield row
        if written >= domain_events:
            return


def _stored(domain_event: DomainEvent) -> StoredRow:
    return StoredRow(
        domain_event.originator_id,
        domain_event.originator_version,
        get_topic(type(domain_event)),
        encode_state(domain_event),
    )


class _Repeated:
    """The recorded rows as templates: constant bytes between ids."""

    def __init__(self, recorded: Sequence[DomainEvent], facilities: dict[UUID, int]) -> None:
        self._per_repetition = {
            stream_id: sum(item.originator_id == stream_id for item in recorded) for stream_id in facilities
        }
        self._places = [(item.originator_id, item.originator_version) for item in recorded]
        self._topics = [get_topic(type(item)) for item in recorded]
        self._states = [_split(encode_state(item)) for item in recorded]
        self._event_ids = {item.domain_event_id: index for index, item in enumerate(recorded)}
        used = {UUID(part.decode()) for _, ids in self._states for part in ids}
        self._fixed = set(facilities)
        self._own = sorted((used | {place[0] for place in self._places}) - self._fixed - set(self._event_ids))

    def repetition(self, number: int) -> Iterator[StoredRow]:
        ids = {old: uuid5(_IDS, f"{number} {old}") for old in self._own} | {old: old for old in self._fixed}
        places = [
            (ids[stream], version + number * self._per_repetition.get(stream, 0))
            for stream, version in self._places
        ]
        ids |= {old: domain_event_id(*places[index]) for old, index in self._event_ids.items()}
        texts = {str(old).encode(): str(new).encode() for old, new in ids.items()}
        for (stream, version), topic, (parts, inside) in zip(places, self._topics, self._states, strict=True):
            pieces = [parts[0]]
            for part, old in zip(parts[1:], inside, strict=True):
                pieces += (texts[old], part)
            yield StoredRow(stream, version, topic, b"".join(pieces))


def _split(state: bytes) -> tuple[list[bytes], list[bytes]]:
    return _UUID.split(state), _UUID.findall(state)


class _DREventTemplate:
    """One DR event of three facilities with one zone each, from the notification to the measurement."""

    def __init__(self) -> None:
        self._recorded: list[DomainEvent] = []
        self._now = STARTS_AT - timedelta(hours=1)
        self.facilities: list[Facility] = []

    def take(self) -> list[DomainEvent]:
        taken, self._recorded = self._recorded, []
        return taken

    def facilities_agree(self) -> None:
        for facility_id in FACILITIES:
            facility = Facility.register(
                self._provenance(),
                facility_id=facility_id,
                tz="America/Los_Angeles",
                latitude=37.0,
                longitude=-122.0,
                weather_cell="cell-1",
            )
            facility.agree(
                self._provenance(),
                meters=frozenset({"main"}),
                zones=(_zone(),),
                bms=_BMS,
                enrolments={"summer-peak": Enrolment()},
                limits=Limits(
                    dr_events_per_day=2,
                    dr_events_per_season=40,
                    longest_dr_event_s=14_400,
                    notification_lead_s=0,
                ),
            )
            self.facilities.append(facility)
            self._keep(facility)

    def happens(self) -> None:
        dr_event = DREvent.open(self._provenance(), utility_id=_UTILITY, utility_event_id="BENCH-1")
        self._keep(dr_event)
        self._accepted(dr_event)
        dispatches = self._scheduled(dr_event)
        for phase, begin, at in (
            ("prepare", dr_event.start_preparation, STARTS_AT - timedelta(minutes=10)),
            ("commit", dr_event.start, STARTS_AT),
            ("restore", dr_event.end, STARTS_AT + timedelta(hours=1)),
        ):
            self._now = at
            begin(self._provenance(), now=at)
            self._keep(dr_event)
            for dispatch in dispatches:
                self._carried_out(dispatch, phase)
        self._completed(dr_event, dispatches)

    def _accepted(self, dr_event: DREvent) -> None:
        provenance = self._provenance()
        ends_at = STARTS_AT + timedelta(hours=1)
        notice = Notice(
            notification_id="n-1",
            modification_number=0,
            program_id="summer-peak",
            starts_at=STARTS_AT,
            ends_at=ends_at,
            target_kw=30.0,
            facility_ids=FACILITIES,
            priority=1,
            callback_url=None,
        )
        dr_event.accept(
            provenance,
            notice=notice,
            program_version=1,
            capacity_kw=100.0,
            capacity_source="forecast",
            shortfall_kw=0.0,
        )
        for facility in self.facilities:
            facility.reserve(
                provenance,
                Reservation(
                    dr_event_id=dr_event.id, starts_at=STARTS_AT, ends_at=ends_at, prepared_from=STARTS_AT
                ),
            )
        self._keep(dr_event, *self.facilities)

    def _scheduled(self, dr_event: DREvent) -> list[Dispatch]:
        provenance = self._provenance()
        targets = tuple(
            FacilityTarget(
                facility_id=facility_id,
                target_kw=10.0,
                headroom_kw=12.0,
                forecast_id=uuid5(_IDS, facility_id),
                forecast_position=1,
                data_quality="full",
                blocked=False,
            )
            for facility_id in FACILITIES
        )
        dr_event.schedule(
            provenance, prepare_at=STARTS_AT - timedelta(minutes=10), targets=targets, missing_kw=0.0
        )
        dispatches = [self._planned(dr_event, target, provenance) for target in targets]
        self._keep(dr_event, *dispatches)
        return dispatches

    def _planned(self, dr_event: DREvent, target: FacilityTarget, provenance: Provenance) -> Dispatch:
        return Dispatch.plan(
            provenance,
            dr_event_id=dr_event.id,
            facility_id=target.facility_id,
            plan_revision=1,
            starts_at=STARTS_AT,
            ends_at=STARTS_AT + timedelta(hours=1),
            expires_at=STARTS_AT + timedelta(hours=1, minutes=30),
            target_kw=target.target_kw,
            bms=_BMS,
            zones=(ZonePlan(zone_id="hall", target_kw=10.0, strategy="setpoint_offset", magnitude=2.0),),
            forecast_id=target.forecast_id,
            data_quality="full",
        )

    def _carried_out(self, dispatch: Dispatch, phase: str) -> None:
        if phase == "prepare":
            dispatch.prepare(self._provenance())
        elif phase == "commit":
            dispatch.commit(self._provenance(), not_after=dispatch.state.ends_at)
        else:
            dispatch.restore(self._provenance())
        self._keep(dispatch)
        for record in [item for item in dispatch.state.commands.values() if item.state == "requested"]:
            dispatch.attempt(self._provenance(), command_id=record.command.command_id)
            self._keep(dispatch)
            dispatch.command_succeeded(
                self._provenance(),
                command_id=record.command.command_id,
                executed_at=self._now,
                setpoint=Setpoint(value=24.5, unit="celsius"),
                learned_by="answer",
            )
            self._keep(dispatch)
        if phase == "commit":
            dispatch.verify_by_meter(self._provenance(), delivered_kw=9.7, measured_at=self._now)
            self._keep(dispatch)

    def _completed(self, dr_event: DREvent, dispatches: Sequence[Dispatch]) -> None:
        provenance = self._provenance()
        batch = Batch(asked=3, prepared=3, committed=3, failed=0, restored=3)
        dr_event.complete(provenance, batch=batch, failed_facilities=())
        for facility in self.facilities:
            facility.release(provenance, dr_event_id=dr_event.id, served=True)
        self._keep(dr_event, *self.facilities)
        dr_event.measure(
            self._provenance(),
            delivered_kw=29.1,
            measured_facilities=len(dispatches),
            unmeasured_facilities=(),
        )
        self._keep(dr_event)

    def _provenance(self) -> Provenance:
        """Each step is caused by the one before it."""
        self._now += timedelta(milliseconds=250)
        last = self._recorded[-1].domain_event_id if self._recorded else uuid5(_IDS, "command")
        return Provenance(
            correlation_id=uuid5(_IDS, "story"),
            causation_id=last,
            actor="saga:dispatch",
            tenant=_UTILITY,
            trace_id="0af7651916cd43dd8448eb211c80319c",
            recorded_at=self._now,
        )

    def _keep(self, *aggregates: Aggregate[Any]) -> None:
        for aggregate in aggregates:
            self._recorded += cast("Sequence[DomainEvent]", aggregate.collect_events())


def _zone() -> Zone:
    return Zone(
        zone_id="hall",
        curtailable_kw=20.0,
        strategy="setpoint_offset",
        max_magnitude=3.0,
        comfort_limit_c=28.0,
        minimum_off_s=0,
        longest_curtailment_s=14_400,
        rebound_ramp_s=300,
    )

"""The measurements in a proof: of each dispatch the one in force, with the state in which it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from application.event_store.event_mapper import UnknownTopic, UnreadableDomainEvent, decode_domain_event
from application.ledger.proof_document import ProofBroken
from application.ledger.proof_readings import WantedReadings, whole_days
from application.measurement.basis import look_back_days
from application.measurement.measure import readings_window
from domain.dispatch import Dispatch, DispatchState, MeasurementFigures
from domain.event_sourcing.aggregate import DomainEvent
from domain.ledger.entries import LogRow
from domain.time_series.windows import TimeWindow


class ProvenMeasurement(NamedTuple):
    """The measurement in force of one facility."""

    position: int
    """The position of the domain event that records it."""
    domain_event_id: UUID
    facility_id: str
    dispatch: DispatchState
    """The state before it."""
    figures: MeasurementFigures

    @property
    def window(self) -> TimeWindow:
        return TimeWindow(self.figures.starts_at, self.figures.ends_at)

    def wanted(self) -> WantedReadings:
        """The readings that it takes to compute it again."""
        back = look_back_days(self.figures.baseline_method, self.figures.parameters)
        return WantedReadings(
            window=whole_days(readings_window(self.window, back), self.figures.tz),
            tz=self.figures.tz,
            facility_id=self.facility_id,
            with_temperatures=self.figures.baseline_method == "regression",
        )


class DecodedRow:
    """A row of the log with its domain event, which is decoded once, when it is first looked at."""

    def __init__(self, row: LogRow) -> None:
        self.row = row
        self.position, self.originator_id = row.position, row.originator_id

    @cached_property
    def domain_event(self) -> DomainEvent:
        """Raises ProofBroken for a domain event that this release cannot read."""
        row = self.row
        try:
            return decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state)
        except UnknownTopic as error:
            raise ProofBroken(
                f"the domain event at position {row.position} is of a kind that this release does not know "
                f"({row.topic}): check the proof with the release that made it, or a newer one"
            ) from error
        except UnreadableDomainEvent as error:
            raise ProofBroken(
                f"the domain event at position {row.position} cannot be read: {error}"
            ) from error


def measurements_in_force(
    rows: Iterable[DecodedRow], dispatches: Mapping[UUID, str]
) -> list[ProvenMeasurement]:
    """The measurements in the order of the facilities; `dispatches` is stream -> facility. Raises ProofBroken."""
    states: dict[UUID, DispatchState] = {}
    measurements: dict[UUID, ProvenMeasurement] = {}
    for row in rows:
        if (facility_id := dispatches.get(stream := row.originator_id)) is None:
            continue
        domain_event = row.domain_event
        if isinstance(domain_event, Dispatch.Planned):
            states[stream] = domain_event.initial_state()
            continue
        state = states[stream]
        match domain_event:
            case Dispatch.Measured() | Dispatch.Remeasured():
                measurements[stream] = ProvenMeasurement(
                    row.position, domain_event.domain_event_id, facility_id, state, domain_event.figures
                )
            case Dispatch.MeasurementWithdrawn():
                measurements.pop(stream, None)
            case _:
                pass
        states[stream] = domain_event.evolve(state)
    return sorted(measurements.values(), key=lambda measurement: measurement.facility_id)

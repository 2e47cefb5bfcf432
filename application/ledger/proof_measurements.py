"""The measurements in a proof: of each dispatch the one in force, with the state in which it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """Of the domain event that records it."""
    domain_event_id: UUID
    facility_id: str
    dispatch: DispatchState
    """Before it."""
    figures: MeasurementFigures

    @property
    def window(self) -> TimeWindow | None:
        """None: it is of version 1, which does not record what it takes to compute it again."""
        if self.figures.starts_at is None or self.figures.ends_at is None:
            return None
        return TimeWindow(self.figures.starts_at, self.figures.ends_at)

    def wanted(self) -> WantedReadings | None:
        """The readings that it takes to compute it again."""
        window, parameters = self.window, self.figures.parameters
        if window is None or parameters is None:
            return None
        back = look_back_days(self.figures.baseline_method, parameters)
        return WantedReadings(
            window=whole_days(readings_window(window, back), self.figures.tz),
            tz=self.figures.tz,
            facility_id=self.facility_id,
            with_temperatures=self.figures.baseline_method == "regression",
        )


def decoded_row(row: LogRow) -> DomainEvent:
    """Raises ProofBroken for a domain event that this release cannot read."""
    try:
        return decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state)
    except UnknownTopic as error:
        raise ProofBroken(
            f"the domain event at position {row.position} is of a kind that this release does not know ({row.topic}): "
            "check the proof with the release that made it, or a newer one"
        ) from error
    except UnreadableDomainEvent as error:
        raise ProofBroken(f"the domain event at position {row.position} cannot be read: {error}") from error


def measurements_in_force(rows: Iterable[LogRow], dispatches: Mapping[UUID, str]) -> list[ProvenMeasurement]:
    """In the order of the facilities; `dispatches` is stream -> facility. Raises ProofBroken."""
    states: dict[UUID, DispatchState] = {}
    found: dict[UUID, ProvenMeasurement] = {}
    for row in rows:
        if (facility_id := dispatches.get(stream := row.originator_id)) is None:
            continue
        domain_event = decoded_row(row)
        if isinstance(domain_event, Dispatch.Planned):
            states[stream] = domain_event.initial_state()
            continue
        state = states[stream]
        match domain_event:
            case Dispatch.Measured() | Dispatch.Remeasured():
                found[stream] = ProvenMeasurement(
                    row.position, domain_event.domain_event_id, facility_id, state, domain_event.figures
                )
            case Dispatch.MeasurementWithdrawn():
                found.pop(stream, None)
            case _:
                pass
        states[stream] = domain_event.evolve(state)
    return sorted(found.values(), key=lambda one: one.facility_id)

"""The terms of a measurement in a proof: those of its program, and the calendar of its facility; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from application.ledger.proof_check import CheckedProof
from application.ledger.proof_measurements import DecodedRow, ProvenMeasurement
from application.ledger.recomputation.differences import FigureDifference
from application.measurement.agreed_baseline import AgreedBaseline, agreed_baseline
from application.measurement.basis import MeasuringBasis, look_back_days
from application.ports.event_store.event_store import StreamNotFound, TAggregate
from application.ports.public_holidays import PublicHolidays
from domain.dispatch import MeasurementFigures
from domain.dr_event import DREvent
from domain.time_series.windows import TimeWindow, local_date


class ProvenTerms(NamedTuple):
    """The baseline that the program's terms agree, as of a position."""

    agreed: AgreedBaseline | None
    why: str = ""


class ProvenStreams:
    """The aggregates in a proof, as of a position; reads them as from the event store."""

    def __init__(self, rows: Sequence[DecodedRow], before: int) -> None:
        self._rows: defaultdict[UUID, list[DecodedRow]] = defaultdict(list)
        for row in rows:
            if row.position < before:
                self._rows[row.originator_id].append(row)

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        """Raises StreamNotFound for a stream that is not in the proof, ProofBroken for one that cannot be read."""
        aggregate: Any = None
        for row in self._rows[stream_id]:
            aggregate = row.domain_event.mutate(aggregate)
        if aggregate is None:
            raise StreamNotFound(f"{aggregate_class.__name__} {stream_id} is not in the proof")
        loaded: TAggregate = aggregate
        return loaded

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        return {
            stream_id: self.load(aggregate_class, stream_id)
            for stream_id in stream_ids
            if self._rows[stream_id]
        }


def proven_terms(proof: CheckedProof, measured: ProvenMeasurement) -> ProvenTerms:
    streams = ProvenStreams(proof.rows, measured.position)
    try:
        dr_event = streams.load(DREvent, proof.dr_event_id)
        return ProvenTerms(agreed_baseline(streams, dr_event))
    except LookupError as error:
        return ProvenTerms(None, str(error))


def basis_by_terms(figures: MeasurementFigures, agreed: AgreedBaseline) -> MeasuringBasis:
    """From the terms; what concerns the facility alone is as it was recorded."""
    return MeasuringBasis(
        baseline_method=agreed.method,
        parameters=replace(agreed.parameters, level_kw=figures.parameters.level_kw),
        tz=ZoneInfo(figures.tz),
        dr_event_days=figures.dr_event_days,
        holidays=figures.holidays if agreed.holidays is None else agreed.holidays,
        holidays_of=figures.holidays_of,
        clip_delivery=agreed.clip_delivery,
    )


def term_differences(figures: MeasurementFigures, agreed: AgreedBaseline) -> tuple[FigureDifference, ...]:
    """The figures that the measurement recorded otherwise than the program's terms say."""
    basis = basis_by_terms(figures, agreed)
    pairs = (
        ("the method", figures.baseline_method, basis.baseline_method),
        ("the parameters", figures.parameters, basis.parameters),
        ("the clipping of delivery", figures.clip_delivery, basis.clip_delivery),
        ("whose holidays", figures.holidays_of == "program", agreed.holidays is not None),
    )
    return tuple(
        FigureDifference(what=f"{what} of the terms", recorded=str(recorded), recomputed=str(said))
        for what, recorded, said in pairs
        if recorded != said
    )


def calendar_differences(
    figures: MeasurementFigures, window: TimeWindow, public: PublicHolidays
) -> tuple[tuple[FigureDifference, ...], tuple[str, ...]]:
    """The recorded holidays of a region against the calendar of this installation."""
    back = look_back_days(figures.baseline_method, figures.parameters)
    last = local_date(window.starts_at, ZoneInfo(figures.tz))
    first = last - timedelta(days=back)
    region = figures.holidays_of
    if region in {"none", "program"}:
        return (), ()
    listed = {day for day in public.in_years(region, first.year, last.year) if first <= day <= last}
    recorded = set(figures.holidays)
    return tuple(
        FigureDifference(
            what=f"holiday of {region}",
            where=day.isoformat(),
            recorded="a holiday" if day in recorded else "no holiday",
            recomputed=f"{'a' if day in listed else 'no'} holiday by the calendar of this release",
        )
        for day in sorted(listed ^ recorded)
    ), (f"{len(recorded)} holidays of {region}, held against the calendar of this release",)


def level_note(figures: MeasurementFigures, agreed: AgreedBaseline) -> tuple[str, ...]:
    """A facility's enrolment, which may have a level of its own, is not in the proof."""
    level_kw = figures.parameters.level_kw
    if level_kw == agreed.parameters.level_kw:
        return ()
    level = "none" if level_kw is None else f"{level_kw:g} kW"
    return (f"a firm service level of its own, {level}, as it was recorded",)

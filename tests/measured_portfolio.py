"""A sealed ledger in memory whose measurements were computed from stored quarter-hours, for tests of proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import fsum
from zoneinfo import ZoneInfo

import numpy as np

from adapters.regression import StatsmodelsFitter
from application.commands.dispatch import RecordMeasurement
from application.ledger.proof import prove
from application.ledger.proof_document import ProofDocument
from application.ledger.proof_readings import read_values
from application.ledger.proof_settlements import read_documents
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.baseline import RegressionInputs
from application.measurement.basis import MeasuringBasis
from application.measurement.measure import GIVE_UP_AFTER, measured_window, measurement_of, readings_window
from application.ports.telemetry.store import ImportedIntervals
from domain.dispatch import Dispatch, MeasurementFigures
from domain.dr_event import DREvent
from domain.program import BaselineTerms, Program, SettlementRule, Terms
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import DaySeals
from domain.time_series.windows import local_day
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk
from tests.sealed_portfolio import SealedPortfolio

TZ = ZoneInfo("America/Los_Angeles")
REGION = "US-CA"
INDEPENDENCE_DAY = date(2026, 7, 3)
"""Observed on the Friday."""
REGION_HOLIDAYS = frozenset({date(2026, 6, 19), INDEPENDENCE_DAY, date(2026, 7, 4)})
PROGRAM_HOLIDAYS = (date(2026, 7, 3), date(2026, 7, 10))
FIRST_DAY, LAST_DAY = date(2026, 5, 25), date(2026, 7, 14)
FITTER = StatsmodelsFitter()
Forge = Callable[[str, MeasurementFigures], MeasurementFigures]
"""What is recorded instead of the figures of a facility."""


def genuine(_facility_id: str, figures: MeasurementFigures) -> MeasurementFigures:
    return figures


def terms(
    baseline: BaselineTerms, holidays: tuple[date, ...] | None, settlement: SettlementRule | None = None
) -> Terms:
    return Terms(
        settlement=settlement,
        rank=1,
        baseline=baseline,
        holidays=holidays,
        notification_lead_s=600,
        prepare_lead_s=600,
        minimum_duration_s=900,
        maximum_duration_s=14_400,
        acceptable_share=0.8,
        shortfall_policy="continue",
        forecast_guardrail="block",
        two_phase=True,
        rate_per_kw="4",
        rate_per_kwh="0.35",
    )


@dataclass
class MeasuredWalk(PortfolioWalk):
    """Measures from `telemetry`, by the program's terms."""

    agreed: AgreedBaseline
    telemetry: FakeTelemetryStore = field(default_factory=FakeTelemetryStore)
    forge: Forge = genuine
    event_days: frozenset[date] = frozenset({date(2026, 7, 8)})
    region_holidays: frozenset[date] = REGION_HOLIDAYS

    count: int = 3
    unmeasured: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        super().__init__(facilities=self.count)

    def basis(self) -> MeasuringBasis:
        of_program = self.agreed.holidays is not None
        return MeasuringBasis(
            baseline_method=self.agreed.method,
            parameters=self.agreed.parameters,
            tz=TZ,
            dr_event_days=self.event_days,
            holidays=self.region_holidays if self.agreed.holidays is None else self.agreed.holidays,
            holidays_of="program" if of_program else REGION,
            clip_delivery=self.agreed.clip_delivery,
        )

    def _measure(self, dispatch: Dispatch) -> None:
        if dispatch.state.facility_id in self.unmeasured:
            dispatch.not_measurable(self.provenance(actor="worker:compute"), reason="too few days")
            self._save(dispatch)
            return
        figures = self.forge(dispatch.state.facility_id, self.figures_of(dispatch))
        dispatch.measure(self.provenance(actor="worker:compute"), figures=figures)
        self._save(dispatch)

    def figures_of(self, dispatch: Dispatch) -> MeasurementFigures:
        """From the readings that are stored now."""
        state = dispatch.state
        window = measured_window(state.starts_at, state.ends_at)
        assert window is not None
        basis = self.basis()
        block = self.telemetry.interval_series_of(
            [state.facility_id], readings_window(window, basis.look_back_days)
        )
        metered, temperatures = block.series(state.facility_id), block.temperatures(state.facility_id)
        inputs = RegressionInputs(fitter=FITTER, temperatures=temperatures)
        found = measurement_of(state, metered, basis, now=state.ends_at + GIVE_UP_AFTER, inputs=inputs)
        assert isinstance(found, RecordMeasurement), found
        return found.figures

    def _measured(self, dr_event: DREvent) -> None:
        delivered = [item.state.delivered_kw or 0.0 for item in self.dispatches_of(dr_event)]
        dr_event.measure(
            self.provenance(actor="saga:dispatch", cause=True),
            delivered_kw=fsum(delivered),
            measured_facilities=len(delivered),
            unmeasured_facilities=(),
        )
        self._save(dr_event)


@dataclass
class MeasuredPortfolio(SealedPortfolio):
    walk: MeasuredWalk
    seals: dict[tuple[str, int], DaySeals] = field(default_factory=dict)
    documents: FakeSettlementDocuments = field(default_factory=FakeSettlementDocuments)
    most_bytes: int = 10_000_000

    def prove_measured(self) -> ProofDocument:
        positions = [row.position for row in self.rows() if self._concerns(row.originator_id)]
        return prove(
            self.store,
            self.signer.public_key,
            self.dr_event_id,
            positions,
            lambda wanted: read_values(self.walk.telemetry, wanted),
            documents=lambda wanted: read_documents(
                self.documents, self.dr_event_id, wanted, most_bytes=self.most_bytes
            ),
        )

    def seal_day(self, facility_id: str, day: date, tz: ZoneInfo = TZ) -> None:
        """Record the digest of the values that are stored now."""
        window = local_day(day, tz)
        block = self.walk.telemetry.interval_series_of([facility_id], window)
        provenance = self.walk.provenance(actor="worker:compute", tenant=None)
        month = (facility_id, day.month)
        if month not in self.seals:
            self.seals[month] = DaySeals.open(provenance, facility_id=facility_id, day=day)
        digest = day_digest(FacilityValues.of(block, facility_id))
        self.seals[month].seal(provenance, day=day, tz=tz.key, digest=digest)
        self.walk.save(self.seals[month])
        self.record()

    def _concerns(self, stream: object) -> bool:
        return stream == self.dr_event_id or stream in self.walk.dispatches


def measured_portfolio(
    *,
    baseline: BaselineTerms | None = None,
    holidays: tuple[date, ...] | None = None,
    forge: Forge = genuine,
    recorded_terms: Terms | None = None,
    region_holidays: frozenset[date] = REGION_HOLIDAYS,
    facilities: int = 3,
    missing: tuple[str, datetime] | None = None,
    settlement: SettlementRule | None = None,
    unmeasured: frozenset[str] = frozenset(),
) -> MeasuredPortfolio:
    """A DR event, measured and sealed. `recorded_terms`: others than it was measured by; `missing`: a quarter-hour of a
    facility that is not stored."""
    agreed_terms = terms(baseline or BaselineTerms(method="high-5-of-10"), holidays, settlement)
    agreed = AgreedBaseline(
        method=agreed_terms.baseline.method,
        parameters=agreed_terms.baseline.parameters,
        holidays=None if holidays is None else frozenset(holidays),
    )
    walk = MeasuredWalk(
        agreed, forge=forge, region_holidays=region_holidays, count=facilities, unmeasured=unmeasured
    )
    for number, facility_id in enumerate(walk.facilities):
        meter(walk.telemetry, facility_id, 500.0 + 100.0 * number)
    if missing is not None:
        del walk.telemetry.imported[missing[0], int(missing[1].timestamp()), 900]
    program = Program.open(walk.provenance(tenant=None), program_id="summer-peak", utility_id=UTILITY)
    program.agree_terms(walk.provenance(tenant=None), terms=recorded_terms or agreed_terms)
    walk.save(program)
    walk.happy()
    portfolio = MeasuredPortfolio(walk)
    portfolio.record()
    return portfolio


def meter(telemetry: FakeTelemetryStore, facility_id: str, kw: float) -> None:
    """Quarter-hours of every day, each with a load of its own."""
    count = (LAST_DAY - FIRST_DAY).days * 96 + 96
    starts_at = datetime.combine(FIRST_DAY, datetime.min.time(), TZ)
    nth = np.arange(count)
    store_quarters(
        telemetry, facility_id, starts_at, (kw + 40.0 * np.sin(nth / 13.0) + 0.1 * (nth % 7)).tolist()
    )


def store_quarters(
    telemetry: FakeTelemetryStore, facility_id: str, starts_at: datetime, kw: Sequence[float]
) -> None:
    count = len(kw)
    telemetry.import_intervals(
        ImportedIntervals(
            facility_ids=(facility_id,),
            facility_index=np.zeros(count, dtype=np.int64),
            starts_at_s=int(starts_at.timestamp()) + 900 * np.arange(count, dtype=np.int64),
            step_s=np.full(count, 900, dtype=np.int64),
            mean_kw=np.array(kw),
            temp_c=20.0 + 6.0 * np.sin(np.arange(count) / 15.0),
        )
    )


def quarter_at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, datetime.min.time(), TZ) + timedelta(hours=hour, minutes=minute)

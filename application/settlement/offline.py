"""Settlements from files: what `gridproof settlement compute` does, without a running system."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from application.measurement.baseline import ExplainedBaseline, RegressionInputs, explained_baseline
from application.ports.history_import import FacilityNotInFile, FacilityReadings, ReadingsFile
from application.ports.regression_fitter import RegressionFitter
from application.settlement.document import settlement_document
from application.settlement.offline_files import SettlementRefused
from application.settlement.period import period_document
from application.settlement.resettled import resettled_document
from application.settlement.shapes import (
    AdjustmentSummary,
    BaselineSummary,
    ComputedSettlements,
    EventFacilityInputs,
    EventInputs,
    ProgramInputs,
    SettlementDocument,
)
from domain.baseline import BaselineImpossible, BaselineParameters, InvalidBaselineRule, rule_named
from domain.event_sourcing.decoders import converted
from domain.program.settlement_rule import Results
from domain.settlement.inputs import MeteringStep, event_window, facility_window
from domain.settlement.lines import PriceMissing
from domain.settlement.resettlement import Basis, DeadlinePassed, check_deadline
from domain.settlement.rounding import decimal_text, rounded
from domain.settlement.settle import UnknownKind
from domain.time_series.windows import IntervalSeries, InvalidWindow, NotAligned, TimeWindow
from domain.units import decimal_string

DEFAULT_STEP_S = 900
"""Where no facility has readings."""
MOST_STEPS = 5_000_000
Measured = tuple[Sequence[MeteringStep], BaselineSummary]


class OfflineReadings:
    """The readings of the facilities of some DR events, all with one metering step."""

    def __init__(self, file: ReadingsFile, facility_ids: Sequence[str]) -> None:
        """Raises ReadingsFileError, and SettlementRefused where the facilities have different steps."""
        self._of_facility = _read(file, facility_ids)
        steps = sorted({one.step_s for one in self._of_facility.values()})
        if len(steps) > 1:
            raise SettlementRefused(
                "schema",
                f"the readings are in steps of {' and '.join(map(str, steps))} s; give all facilities' in one step",
            )
        self.step_s = steps[0] if steps else DEFAULT_STEP_S

    def of(self, facility_id: str) -> FacilityReadings | None:
        return self._of_facility.get(facility_id)


def _read(file: ReadingsFile, facility_ids: Sequence[str]) -> Mapping[str, FacilityReadings]:
    """The facilities that have rows in the file."""
    try:
        return file.read(facility_ids)
    except FacilityNotInFile:
        present = {str(one) for batch in file.batches(facility_ids) for one in np.unique(batch.facility_ids)}
        return file.read(sorted(present)) if present else {}


class OfflineSettlement(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The settlement, and what it is settled from."""

    program: ProgramInputs
    readings: OfflineReadings
    fitter: RegressionFitter
    earlier: Mapping[str, SettlementDocument] = {}
    at: datetime | None = None
    """The moment of a resettlement; None: not held against the deadline."""

    def of(self, dr_event: EventInputs, *, on_facility: Callable[[], None]) -> SettlementDocument:
        """The settlement, or the next revision of the earlier one; the earlier one itself where all figures are the
        same. Raises SettlementRefused."""
        measured = self._measured(dr_event, on_facility)
        basis = Basis(
            rule=self.program.settlement,
            dr_event=dr_event,
            steps={name: steps for name, (steps, _) in measured.items()},
            step_s=self.readings.step_s,
        )
        try:
            document = settlement_document(
                basis, self.program, baselines={name: summary for name, (_, summary) in measured.items()}
            )
            return self._revised(document, basis)
        except DeadlinePassed as error:
            raise SettlementRefused("deadline", str(error)) from error
        except PriceMissing as error:
            raise SettlementRefused("price_missing", str(error)) from error
        except UnknownKind as error:
            raise SettlementRefused("unknown_kind", str(error)) from error
        except ValueError as error:
            raise SettlementRefused("schema", str(error)) from error

    def _revised(self, document: SettlementDocument, basis: Basis) -> SettlementDocument:
        if (earlier := self.earlier.get(document.dr_event_id)) is None:
            return document
        if (revised := resettled_document(earlier, document)) is None:
            return earlier
        if self.at is not None:
            check_deadline(basis.rule, basis.dr_event, self.at)
        return revised

    def _measured(self, dr_event: EventInputs, on_facility: Callable[[], None]) -> dict[str, Measured]:
        of_kind = self.program.settlement.of_kind(dr_event.kind)
        opted_out, step_s = (of_kind.results or Results()).opted_out, self.readings.step_s
        whole = event_window(dr_event, step_s)
        windows = {one.facility_id: facility_window(whole, one, opted_out) for one in dr_event.facilities}
        if sum(one.count for one in windows.values()) > MOST_STEPS:
            raise SettlementRefused("schema", f"the event has more than {MOST_STEPS} steps of facilities")
        found = {}
        for facility in dr_event.facilities:
            window = windows[facility.facility_id]
            if window.count and dr_event.status != "cancelled" and facility.result != "excused":
                found[facility.facility_id] = self._measurement(
                    facility, TimeWindow(window.starts_at, window.ends_at)
                )
            on_facility()
        return found

    def _measurement(self, facility: EventFacilityInputs, window: TimeWindow) -> Measured:
        """The steps of the facility's own window, with the baseline where there is one."""
        rows = self.readings.of(facility.facility_id)
        nothing = IntervalSeries.of(window.starts_at, self.readings.step_s, [])
        metered = nothing if rows is None else rows.load_kw()
        temperatures = nothing if rows is None else rows.temperature_c()
        try:
            starts = metered.starts(window)
        except NotAligned as error:
            raise SettlementRefused("schema", f"readings of {facility.facility_id}: {error}") from error
        baseline = self.program.baseline
        parameters = _own_parameters(baseline.parameters, facility)
        adjusted: Mapping[datetime, float] = {}
        try:
            explained = explained_baseline(
                rule_named(baseline.method, parameters),
                metered,
                window,
                tz=ZoneInfo(facility.tz),
                inputs=RegressionInputs(fitter=self.fitter, temperatures=temperatures),
                dr_event_days=facility.event_days,
                holidays=self.program.holidays,
            )
        except (BaselineImpossible, InvalidBaselineRule, NotAligned, InvalidWindow) as error:
            summary = BaselineSummary(method=baseline.method, parameters=parameters, impossible=str(error))
        else:
            summary = _summary(baseline.method, parameters, explained)
            adjusted = {one.starts_at: one.adjusted_kw for one in explained.baseline.intervals}
        loads = self._loads(rows, starts)
        steps = [
            MeteringStep(
                starts_at=start,
                adjusted_kw=None if (kw := adjusted.get(start)) is None else decimal_string(kw),
                metered_kw=loads.get(start),
            )
            for start in starts
        ]
        return steps, summary

    def _loads(self, rows: FacilityReadings | None, starts: Sequence[datetime]) -> dict[datetime, str]:
        """Mean kW of the steps that were metered, from the energy as the file writes it."""
        if rows is None:
            return {}
        first = np.datetime64(starts[0].replace(tzinfo=None), "us")
        last = np.datetime64(starts[-1].replace(tzinfo=None), "us")
        inside = (rows.starts_at >= first) & (rows.starts_at <= last) & np.isfinite(rows.load_kwh)
        mode, per_hour = self.program.settlement.rounding, Fraction(3600, rows.step_s)
        found = {}
        for at, kwh in zip(rows.starts_at[inside], rows.load_kwh[inside], strict=True):
            kw = rounded(Fraction(decimal_string(float(kwh))) * per_hour, 3, mode)
            found[at.astype(datetime).replace(tzinfo=UTC)] = decimal_text(kw, 3)
        return found


def _own_parameters(parameters: BaselineParameters, facility: EventFacilityInputs) -> BaselineParameters:
    if facility.level_kw is None:
        return parameters
    return msgspec.structs.replace(parameters, level_kw=facility.level_kw)


def _summary(method: str, parameters: BaselineParameters, explained: ExplainedBaseline) -> BaselineSummary:
    found = explained.baseline
    return BaselineSummary(
        method=method,
        parameters=parameters,
        days=found.days,
        days_considered=len(found.candidates),
        adjustment=converted(found.adjustment, AdjustmentSummary, from_attributes=True),
    )


def computed_settlements(
    offline: OfflineSettlement,
    dr_events: Sequence[EventInputs],
    *,
    period: str | None,
    on_facility: Callable[[], None] = lambda: None,
) -> ComputedSettlements:
    """Each DR event's settlement, and the capacity of the period. Raises SettlementRefused, InvalidPeriod."""
    seen: set[str] = set()
    for dr_event in dr_events:
        if dr_event.dr_event_id in seen:
            raise SettlementRefused("schema", f"DR event {dr_event.dr_event_id} is given twice")
        seen.add(dr_event.dr_event_id)
        if dr_event.program_id != offline.program.program_id:
            raise SettlementRefused(
                "schema",
                f"DR event {dr_event.dr_event_id} is of program {dr_event.program_id!r}, and the program is "
                f"{offline.program.program_id!r}",
            )
    settlements = tuple(offline.of(one, on_facility=on_facility) for one in dr_events)
    capacity = None if period is None else period_document(offline.program, period, settlements)
    return ComputedSettlements(settlements=settlements, period=capacity)

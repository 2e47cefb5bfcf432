"""The members of the document `settlement/1`. Decimals are strings, with exactly the places of their kind: those of
the minor unit (money), 3 (kW, kWh), or those of the rule's ratio. Times are UTC.
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from domain.baseline import BaselineParameters
from domain.program.settlement_rule import Capacity, SettlementRule
from domain.program.terms import BaselineTerms
from domain.settlement.inputs import EndedEvent, EventFacility, MeteringStep
from domain.settlement.lines import Component, Note
from domain.settlement.quantities import LeftOut
from domain.settlement.resettlement import Why
from domain.settlement.settle import Reason
from domain.units import DecimalString


class ProgramInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The file program.json: the version of the program that is settled by."""

    program_id: str
    version: int = 1
    baseline: BaselineTerms
    holidays: tuple[date, ...] = ()
    enrolments: dict[str, DecimalString] = {}
    """Facility -> enrolled kW."""
    settlement: SettlementRule


class EventFacilityInputs(EventFacility, frozen=True, kw_only=True):
    """A facility's part of event.json: with what its baseline needs."""

    event_days: tuple[date, ...] = ()
    """Local days with other DR events."""
    level_kw: float | None = None
    """Its own firm service level."""
    curtailable_kw: DecimalString | None = None
    """What it can shed at most, as far as that is known."""


class EventInputs(EndedEvent, frozen=True, kw_only=True):
    """The file event.json: a DR event as it ended."""

    facilities: tuple[EventFacilityInputs, ...] = ()


class AdjustmentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The same-day adjustment: `value` is a factor or kW; the two means that it compares, kW, before the start."""

    kind: str
    value: float | None = None
    raw: float | None = None
    clipped: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    baseline_kw: float | None = None
    metered_kw: float | None = None
    note: str = ""


class BaselineSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a facility's baseline comes from. No amount depends on it, beyond the steps; flags do."""

    method: str
    parameters: BaselineParameters | None = None
    days: tuple[date, ...] = ()
    """Those that count, the most recent first."""
    days_considered: int = 0
    adjustment: AdjustmentSummary | None = None
    impossible: str = ""
    """Why there is no baseline."""
    late_readings: bool = False
    """Readings that came after the first measurement changed it."""
    domain_event_id: str | None = None
    """That recorded the measurement."""


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody should look at; no amount follows from it."""

    flag: str
    facility_id: str
    figure: str
    """What was seen, in numbers."""
    means: str
    do: str


class UnitIntervalFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement interval of a unit."""

    starts_at: datetime
    seconds: int
    committed_kw: str
    delivered_kw: str
    counted_kw: str
    performance: str | None
    """None: nothing was committed."""


class UnitFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The unit that is settled together: a facility, or `portfolio`."""

    unit: str
    seconds: int
    committed_kwh: str
    counted_kwh: str
    performance: str | None
    intervals: tuple[UnitIntervalFigures, ...]


class LineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An amount, with its formula in numbers. `quantity`, `rate` and `factor` are None where the amount is a sum over
    intervals, or needs none."""

    unit: str
    component: Component
    amount: str
    note: Note | None = None
    quantity: str | None = None
    rate: str | None = None
    factor: str | None = None
    formula: str = ""


class FacilityIntervalFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of a settlement interval; `delivered_kw` None: left out, nothing of it is known."""

    starts_at: datetime
    steps: int
    known_steps: int
    committed_kw: str
    delivered_kw: str | None


class PartFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of a line, and what of it goes to the facility."""

    unit: str
    component: Component
    gross: str
    net: str


class FacilityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of the settlement."""

    facility_id: str
    result: str
    counted: bool
    reason: LeftOut | None
    """Why it does not count."""
    coverage: str
    committed_kwh: str
    delivered_kwh: str
    shortfall_kwh: str
    performance: str | None = None
    """None at level `portfolio`."""
    gross: str
    net: str
    parts: tuple[PartFigures, ...] = ()
    intervals: tuple[FacilityIntervalFigures, ...]
    steps: tuple[MeteringStep, ...]
    baseline: BaselineSummary | None = None


class SettlementInputs(msgspec.Struct, frozen=True, kw_only=True, rename={"dr_event": "event"}):
    """The inputs that the document follows from, with the steps of its facilities."""

    program: ProgramInputs
    dr_event: EventInputs


class ChangeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A line that moved from one revision to the next."""

    unit: str
    component: str
    old: str
    new: str
    difference: str


class ReasonFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the difference that one reason explains."""

    why: Why
    amount: str


class ResettlementFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The changes since the revision before."""

    of_revision: int
    of_digest: str
    """SHA-256 of that document's canonical bytes, hex."""
    changes: tuple[ChangeFigures, ...]
    by_reason: tuple[ReasonFigures, ...]
    difference: str


class SettlementDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement of one DR event. Amounts above zero are owed by the utility."""

    schema: Literal["settlement/1"] = "settlement/1"
    dr_event_id: str
    program_id: str
    program_version: int
    kind: str
    currency: str
    minor_unit: int
    level: Literal["facility", "portfolio"]
    revision: int = 0
    status: Literal["settled", "not_settled"]
    reasons: tuple[Reason, ...]
    starts_at: datetime
    ends_at: datetime
    window_starts_at: datetime
    """The whole metering steps that are settled: of a cancelled DR event until then."""
    window_ends_at: datetime
    step_s: int
    performance: str | None
    units: tuple[UnitFigures, ...]
    lines: tuple[LineFigures, ...]
    total: str
    facilities: tuple[FacilityFigures, ...]
    flags: tuple[Flag, ...] = ()
    origins: dict[str, str] = {}
    """`program`, `event` -> the domain event that recorded it: for a statement only, a stored document has none."""
    inputs: SettlementInputs
    resettlement: ResettlementFigures | None = None


class PeriodLineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity of a unit: rate x quantity x factor x units; None in a facility's part of the portfolio's line."""

    unit: str
    component: Literal["capacity"] = "capacity"
    performance: str | None
    """None: no DR event of the period had one, or it is the portfolio's."""
    events: int
    amount: str
    quantity: str | None
    rate: str | None
    factor: str | None
    units: int
    """Days, months, or 1 for a season."""
    formula: str


class PeriodFacilityFigures(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    gross: str
    net: str


class PeriodDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity of one program's month or season."""

    period: str
    program_id: str
    program_version: int
    currency: str
    minor_unit: int
    capacity: Capacity | None
    """The rule's. Nothing is paid with a period if it is paid with each DR event."""
    lines: tuple[PeriodLineFigures, ...]
    total: str
    facilities: tuple[PeriodFacilityFigures, ...]


class ComputedSettlements(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `settlement compute`."""

    settlements: tuple[SettlementDocument, ...]
    period: PeriodDocument | None = None

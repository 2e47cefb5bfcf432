"""The portfolio file: utilities, programs and facilities, as an operator writes them (YAML or JSON).

It never contains secrets: `*_ref` names where one is stored (`env:GRIDPROOF_SECRET_PURPOSE_NAME`, or `file:` and a path
in the folder of secrets).
"""

from datetime import date
from typing import Annotated, Literal

import msgspec

from domain.baseline import BaselineParameters
from domain.facility import MOST_GROUPS, MOST_METERS, MOST_PROGRAMS, MOST_ZONES
from domain.forecast import ForecastGuardrail
from domain.program import SettlementRule, ShortfallPolicy, WindowTerms
from domain.units import DecimalString, KilowattString

# In Python `$` also matches before a newline at the end.
Identifier = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}(?!\n)$")]
PositiveKw = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
OneDayS = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
SomeDaysS = Annotated[int, msgspec.Meta(ge=0, le=31 * 86_400)]
Rate = Annotated[float, msgspec.Meta(ge=-1_000_000, le=1_000_000)] | DecimalString
"""A number, or an exact decimal in quotes."""
Kilowatts = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | KilowattString
MOST_HOLIDAYS = 1_000
Temperature = Annotated[float, msgspec.Meta(ge=-50, le=100)]
Reference = Annotated[str, msgspec.Meta(max_length=1_000)]
Region = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?(?!\n)$")]
"""ISO 3166: a country and, after a hyphen, its region ("DE", "US-CA", "GB-SCT")."""
Strategy = Literal["setpoint_offset", "shed_level"]
BmsProfile = Literal["two_phase", "two_phase_no_dedup", "single_phase"]


class UtilityEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A utility: it posts DR events and receives callbacks."""

    utility_id: Identifier
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    webhook_secret_ref: Reference | None = None
    """HMAC secret of its webhook calls; None: signatures are not required."""
    callback_secret_ref: Reference | None = None
    """HMAC secret that signs our callbacks to it."""


class BaselineEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The baseline method with its parameters, as `baseline compute` takes them."""

    method: Annotated[str, msgspec.Meta(max_length=100)]
    parameters: BaselineParameters = BaselineParameters()


class ProgramEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program: the terms that a utility's contract fixes."""

    program_id: Identifier
    utility_id: Identifier
    rank: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] = 1
    baseline_method: Annotated[str, msgspec.Meta(max_length=100)] = "caiso-10-in-10"
    """The method with its default parameters; `baseline` goes before it."""
    baseline: BaselineEntry | None = None
    holidays: Annotated[tuple[date, ...], msgspec.Meta(max_length=MOST_HOLIDAYS)] | None = None
    """The contract's own holidays; None: the public ones of each facility's region."""
    clip_delivery: bool = False
    """A delivery below 0 kW counts as 0."""
    window: WindowTerms | None = None
    """The hours, days and season in which a DR event may take place; None: any."""
    notification_lead_s: SomeDaysS = 600
    """Shortest time between the notification and the start, seconds."""
    maximum_lead_s: Annotated[int, msgspec.Meta(ge=0, le=3_660 * 86_400)] | None = None
    """Longest time between them; None: as the settings say."""
    prepare_lead_s: OneDayS = 600
    """How long before the start BMS commands are prepared, seconds."""
    minimum_duration_s: SomeDaysS = 900
    maximum_duration_s: SomeDaysS = 14_400
    acceptable_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    shortfall_policy: ShortfallPolicy = "continue"
    forecast_guardrail: ForecastGuardrail = "block"
    two_phase: bool = True
    """False: buildings are commanded at the start, without a preparation before it."""
    rate_per_kw: Rate = "0"
    rate_per_kwh: Rate = "0"
    settlement: SettlementRule | None = None
    """How measured kW become money (`settlement-rule/1`); None: nothing is settled."""


class ZoneEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A controllable zone. Its shed is assumed to be linear in the strategy, up to `max_magnitude`."""

    zone_id: Identifier
    curtailable_kw: PositiveKw
    strategy: Strategy = "setpoint_offset"
    max_magnitude: Annotated[float, msgspec.Meta(ge=-100, le=100)] = 3.0
    """The magnitude that gives `curtailable_kw`: kelvin for `setpoint_offset`, percent for `shed_level`.

    Of a `setpoint_offset` it may be below 0: the setpoint of a heated zone is lowered."""
    comfort_limit_c: Temperature = 28.0
    """The setpoint is never raised above it."""
    lower_comfort_limit_c: Temperature | None = None
    """The setpoint is never lowered below it. Required of a heated zone."""
    minimum_off_s: OneDayS = 0
    longest_curtailment_s: SomeDaysS = 14_400
    rebound_ramp_s: OneDayS = 300


class MeterEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    meter_id: Identifier


class BmsEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address and protocol profile of a facility's building management system."""

    address: Annotated[str, msgspec.Meta(max_length=1_000)]
    profile: BmsProfile = "two_phase"
    credentials_ref: Reference | None = None
    soap_traceparent: bool = False
    """Whether SOAP envelopes name the trace in a header; the HTTP header of a call always does."""


class EnrolmentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enrolment in a program with what it agrees on."""

    program_id: Identifier
    kw: Kilowatts | None = None
    """The enrolled power, which a period's capacity payment counts."""
    level_kw: Kilowatts | None = None
    """The facility's own firm service level; None: that of the program."""


class FacilityEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A facility with its meters, zones, BMS, enrolments and agreed limits."""

    facility_id: Identifier
    tz: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    """Both or neither. None, or 0 and 0: not given, and its cell gets no weather by them."""
    weather_cell: Identifier = "default"
    region: Region | None = None
    """The region of its public holidays; None: the national ones of its time zone."""
    in_force_from: date | None = None
    """The local day from which `tz`, `weather_cell` and `region` hold, where they differ from those recorded last.

    None: the day on which they are recorded. Those of a new facility hold from the beginning."""
    meters: Annotated[tuple[MeterEntry, ...], msgspec.Meta(max_length=MOST_METERS)]
    zones: Annotated[tuple[ZoneEntry, ...], msgspec.Meta(max_length=MOST_ZONES)]
    bms: BmsEntry
    programs: Annotated[tuple[Identifier | EnrolmentEntry, ...], msgspec.Meta(max_length=MOST_PROGRAMS)]
    """Ids, or enrolments with their power."""
    groups: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=MOST_GROUPS)] = ()
    """Labels of your own, to list and to sum facilities by."""
    dr_events_per_day: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 2
    dr_events_per_season: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 40
    longest_dr_event_s: SomeDaysS = 14_400
    notification_lead_s: SomeDaysS = 0

    @property
    def enrolments(self) -> tuple[EnrolmentEntry, ...]:
        """`programs`, each in its full form."""
        return tuple(EnrolmentEntry(program_id=one) if isinstance(one, str) else one for one in self.programs)

    @property
    def program_ids(self) -> tuple[str, ...]:
        return tuple(one.program_id for one in self.enrolments)


class Portfolio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    utilities: tuple[UtilityEntry, ...] = ()
    programs: tuple[ProgramEntry, ...] = ()
    facilities: tuple[FacilityEntry, ...] = ()

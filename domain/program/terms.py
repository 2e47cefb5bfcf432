"""The terms of a program: what a utility's contract fixes."""

from datetime import date
from typing import Literal

import msgspec

from domain.baseline import BaselineParameters
from domain.forecast import ForecastGuardrail
from domain.program.settlement_rule import SettlementRule
from domain.program.window import WindowTerms
from domain.units import DecimalString

ShortfallPolicy = Literal["continue", "reallocate", "abort"]


class BaselineTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline that the contract agrees on. A facility's own firm level goes before that of `parameters`."""

    method: str
    parameters: BaselineParameters = BaselineParameters()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a program's terms; durations in seconds, rates in the contract's currency."""

    rank: int
    """Set by the operator; decides between utilities, as the priority does within one utility."""
    baseline: BaselineTerms
    holidays: tuple[date, ...] | None = None
    """Days that count as holidays, rising; None: the public holidays of each facility's region."""
    clip_delivery: bool = False
    """A delivery below 0 kW counts as 0 in each interval."""
    window: WindowTerms | None = None
    """None: any hour of any day."""
    notification_lead_s: int
    maximum_lead_s: int | None = None
    """The longest time between the notification and the start; None: as the settings say."""
    prepare_lead_s: int
    minimum_duration_s: int
    maximum_duration_s: int
    acceptable_share: float
    shortfall_policy: ShortfallPolicy
    forecast_guardrail: ForecastGuardrail
    two_phase: bool
    """False: buildings are commanded at the start, without a preparation before it."""
    rate_per_kw: DecimalString
    rate_per_kwh: DecimalString
    settlement: SettlementRule | None = None
    """None: nothing is settled in money."""

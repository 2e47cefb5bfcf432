"""Baseline rules: one configurable x-of-y rule with named presets, a regression, and two flat rules."""

from collections.abc import Callable
from math import isfinite
from types import MappingProxyType
from typing import Literal

import msgspec

HOUR_S = 3600
MOST_BEFORE_S = 24 * HOUR_S
"""The earliest load of the same day that is compared. Measurements read one day before the look-back."""
FEWEST_LOOKBACK_DAYS, MOST_LOOKBACK_DAYS = 28, 400
"""Of a regression: four of each hour of the week, and somewhat more than a year."""

AdjustmentKind = Literal["none", "multiplicative", "additive"]
Pick = Literal["high", "mid", "low"]


class InvalidBaselineRule(ValueError):
    """The parameters do not form a rule; the message names the parameter and what is allowed."""


class UnknownBaselineMethod(ValueError):
    """No rule has that name; the message lists the existing ones."""


class AdjustmentRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the load of the same day before the start changes the baseline.

    The window runs from `starts_before_s` to `ends_before_s` before the start of the DR event. `cap` bounds a
    factor to 1-cap..1+cap, and a difference to -cap..+cap of the baseline's mean in the window; None: no
    bound.
    """

    kind: AdjustmentKind
    starts_before_s: int = 4 * HOUR_S
    ends_before_s: int = HOUR_S
    cap: float | None = None
    upward_only: bool = False
    """Never lower the baseline."""

    def __post_init__(self) -> None:
        if not MOST_BEFORE_S >= self.starts_before_s > self.ends_before_s >= 0:
            raise InvalidBaselineRule(
                "the adjustment window must end after it starts, begin at most a day before the DR event, and end "
                f"before it; got {self.starts_before_s} to {self.ends_before_s} s before"
            )
        if self.cap is not None and not 0 <= self.cap <= 1:
            raise InvalidBaselineRule(f"the adjustment cap must be 0..1, got {self.cap!r}")


NO_ADJUSTMENT = AdjustmentRule(kind="none")


class DayAverageRule(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of the `weekdays` (or `weekend_days`) most recent days, without those dropped."""

    weekdays: int
    weekend_days: int | None
    """None: the rule does not cover weekends and holidays, and refuses them."""
    drop_lowest: int = 0
    drop_highest: int = 0
    low_day_share: float | None = None
    """Days below this share of the candidates' average are skipped, and replaced by others."""
    lookback_days: int = 45
    adjustment: AdjustmentRule = NO_ADJUSTMENT

    def __post_init__(self) -> None:
        fewest = min(self.weekdays, self.weekdays if self.weekend_days is None else self.weekend_days)
        if self.drop_lowest < 0 or self.drop_highest < 0 or fewest - self.drop_lowest - self.drop_highest < 1:
            raise InvalidBaselineRule("a rule must keep at least one day of those it looks at")


class MeterBeforeRule(msgspec.Struct, frozen=True, kw_only=True):
    """Flat: the mean of the last `before_s` seconds before the start (meter before, meter after)."""

    before_s: int = HOUR_S

    def __post_init__(self) -> None:
        if not 0 < self.before_s <= MOST_BEFORE_S:
            raise InvalidBaselineRule(
                f"the time before the start must be above 0 s and at most a day, got {self.before_s} s"
            )


class FirmServiceRule(msgspec.Struct, frozen=True, kw_only=True):
    """Flat: the contracted firm service level."""

    level_kw: float

    def __post_init__(self) -> None:
        if not isfinite(self.level_kw) or self.level_kw < 0:
            raise InvalidBaselineRule(f"the firm service level must be a power in kW, got {self.level_kw!r}")


class RegressionRule(msgspec.Struct, frozen=True, kw_only=True):
    """Time of week and temperature (domain.baseline.regression), fitted to the `lookback_days` days before."""

    lookback_days: int = 70

    def __post_init__(self) -> None:
        if not FEWEST_LOOKBACK_DAYS <= self.lookback_days <= MOST_LOOKBACK_DAYS:
            raise InvalidBaselineRule(
                f"the lookback of a regression must be {FEWEST_LOOKBACK_DAYS} to {MOST_LOOKBACK_DAYS} days, got "
                f"{self.lookback_days}"
            )


BaselineRule = DayAverageRule | MeterBeforeRule | FirmServiceRule | RegressionRule


class BaselineParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that `x-of-y`, `meter-before-meter-after`, `firm-service-level` and `regression` take from
    the contract.
    """

    x: int = 5
    y: int = 10
    pick: Pick = "high"
    adjustment: AdjustmentKind = "multiplicative"
    cap: float | None = 0.2
    upward_only: bool = False
    adjustment_from_s: int = 4 * HOUR_S
    """The adjustment window begins this long before the DR event; whole quarter-hours, at most a day."""
    adjustment_until_s: int = HOUR_S
    """It ends this long before the DR event."""
    before_s: int = HOUR_S
    level_kw: float | None = None
    lookback_days: int = 70


def _caiso(_: BaselineParameters) -> BaselineRule:
    return DayAverageRule(
        weekdays=10, weekend_days=4, adjustment=AdjustmentRule(kind="multiplicative", cap=0.2)
    )


def _high_4_of_5(_: BaselineParameters) -> BaselineRule:
    return DayAverageRule(
        weekdays=5,
        weekend_days=None,
        drop_lowest=1,
        low_day_share=0.25,
        adjustment=AdjustmentRule(kind="additive"),
    )


def _high_5_of_10(_: BaselineParameters) -> BaselineRule:
    two_hours = AdjustmentRule(kind="multiplicative", cap=0.2, ends_before_s=2 * HOUR_S)
    return DayAverageRule(weekdays=10, weekend_days=None, drop_lowest=5, adjustment=two_hours)


def _mid_8_of_10(_: BaselineParameters) -> BaselineRule:
    # The table of rules states no cap for this one, so it has none.
    adjustment = AdjustmentRule(kind="multiplicative")
    return DayAverageRule(
        weekdays=10, weekend_days=None, drop_lowest=1, drop_highest=1, adjustment=adjustment
    )


def _x_of_y(parameters: BaselineParameters) -> BaselineRule:
    spare = parameters.y - parameters.x
    if not 1 <= parameters.x <= parameters.y <= 45:
        raise InvalidBaselineRule(f"x-of-y needs 1 <= x <= y <= 45, got {parameters.x} of {parameters.y}")
    if parameters.pick == "mid" and spare % 2:
        raise InvalidBaselineRule(f"mid {parameters.x} of {parameters.y} has no middle: y - x must be even")
    lowest = {"high": spare, "mid": spare // 2, "low": 0}[parameters.pick]
    return DayAverageRule(
        weekdays=parameters.y,
        weekend_days=parameters.y,
        drop_lowest=lowest,
        drop_highest=spare - lowest,
        adjustment=AdjustmentRule(
            kind=parameters.adjustment,
            starts_before_s=parameters.adjustment_from_s,
            ends_before_s=parameters.adjustment_until_s,
            cap=parameters.cap,
            upward_only=parameters.upward_only,
        ),
    )


def _meter_before(parameters: BaselineParameters) -> BaselineRule:
    return MeterBeforeRule(before_s=parameters.before_s)


def _firm_service(parameters: BaselineParameters) -> BaselineRule:
    if parameters.level_kw is None:
        raise InvalidBaselineRule("firm-service-level needs the contracted level in kW")
    return FirmServiceRule(level_kw=parameters.level_kw)


def _regression(parameters: BaselineParameters) -> BaselineRule:
    return RegressionRule(lookback_days=parameters.lookback_days)


_ANY_PARAMETERS = BaselineParameters(level_kw=0.0)
"""With which every method has a rule."""
METHODS: MappingProxyType[str, Callable[[BaselineParameters], BaselineRule]] = MappingProxyType(
    {
        "caiso-10-in-10": _caiso,
        "high-4-of-5": _high_4_of_5,
        "high-5-of-10": _high_5_of_10,
        "mid-8-of-10": _mid_8_of_10,
        "x-of-y": _x_of_y,
        "meter-before-meter-after": _meter_before,
        "firm-service-level": _firm_service,
        "regression": _regression,
    }
)


def rule_named(method: str, parameters: BaselineParameters | None = None) -> BaselineRule:
    """The rule of that name. Raises UnknownBaselineMethod or InvalidBaselineRule."""
    if (make := METHODS.get(method)) is None:
        raise UnknownBaselineMethod(f"no baseline method {method!r}; there are {', '.join(METHODS)}")
    return make(parameters or BaselineParameters())


def is_weekdays_only(method: str) -> bool:
    """True if the method refuses weekend days and holidays."""
    rule = METHODS[method](_ANY_PARAMETERS) if method in METHODS else None
    return isinstance(rule, DayAverageRule) and rule.weekend_days is None

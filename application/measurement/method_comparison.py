"""Comparison of baseline methods on a facility's days without a DR event."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from application.measurement.baseline import RegressionInputs, explained_baseline
from domain.baseline import BaselineImpossible, BaselineRule
from domain.baseline.comparison.day_averages import day_average_baselines
from domain.baseline.comparison.days import (
    ComparedDay,
    LocalLoads,
    LocalWindow,
    compared_days,
    mean_temperatures,
)
from domain.baseline.comparison.scores import MethodScore, hottest, method_score
from domain.baseline.days import Calendar
from domain.baseline.regression.absorbed import absorbed_baseline
from domain.baseline.regression.model import clock_hours, hour_of_week, hourly_mean
from domain.baseline.regression.training import DayCache, training_hours
from domain.baseline.rules import DayAverageRule, RegressionRule
from domain.time_series.windows import FloatArray, IntervalSeries


class FacilityComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The methods on the `days` compared days of a facility."""

    days: int
    methods: dict[str, MethodScore]


class ComparisonTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a comparison, for every facility alike."""

    window: LocalWindow
    rules: Mapping[str, BaselineRule]
    dr_event_days: Collection[date] = frozenset()
    holidays: Collection[date] = frozenset()
    hot_share: float = 0.2


class ComparedFacility:
    """The compared days of one facility and the baseline of each by any rule.

    A baseline is computed from the load before the day and that of the day's adjustment window; what was metered in the
    window itself is used for the error alone. Raises NotAligned if the window is off the steps of the readings.
    """

    def __init__(
        self, metered: IntervalSeries, inputs: RegressionInputs, tz: ZoneInfo, terms: ComparisonTerms
    ) -> None:
        self._metered, self._inputs, self._window = metered, inputs, terms.window
        self._calendar = Calendar(tz, frozenset(terms.dr_event_days), frozenset(terms.holidays))
        self._loads = LocalLoads(metered, tz)
        self._cache: DayCache = {}
        self.days: Sequence[ComparedDay] = compared_days(metered, terms.window, self._calendar)

    def baselines_kw(self, rule: BaselineRule) -> list[FloatArray | None]:
        """The adjusted baseline of each day, as `baseline compute` gives it; None where the rule refuses.

        Raises NotAligned if its adjustment window is off the steps.
        """
        if isinstance(rule, DayAverageRule):
            return day_average_baselines(rule, self._loads, self.days, self._window, self._calendar)
        compute = self._by_regression if isinstance(rule, RegressionRule) else self._by_itself
        return [_unless_refused(compute, rule, day) for day in self.days]

    def _by_itself(self, rule: BaselineRule, day: ComparedDay) -> FloatArray:
        computed = explained_baseline(
            rule,
            self._metered,
            day.window,
            tz=self._calendar.tz,
            inputs=self._inputs,
            dr_event_days=self._calendar.dr_event_days,
            holidays=self._calendar.holidays,
        )
        return np.array([interval.adjusted_kw for interval in computed.baseline.intervals])

    def _by_regression(self, rule: BaselineRule, day: ComparedDay) -> FloatArray:
        if not isinstance(rule, RegressionRule):
            raise TypeError(f"{rule!r} is no regression")
        tz, holidays, temperatures = self._calendar.tz, self._calendar.holidays, self._inputs.temperatures
        training = training_hours(
            rule,
            self._metered,
            temperatures,
            day.window,
            tz=tz,
            dr_event_days=self._calendar.dr_event_days,
            holidays=holidays,
            cache=self._cache,
        )
        starts = self._metered.starts(day.window)
        week = np.array([hour_of_week(at, tz, holidays) for at in starts], dtype=np.int64)
        temp_c = hourly_mean(clock_hours(starts, tz), temperatures.slice(day.window))
        baseline_kw = absorbed_baseline(training, week, temp_c, self._inputs.fitter.fit)
        return self._by_itself(rule, day) if baseline_kw is None else baseline_kw


def compared_facility(
    metered: IntervalSeries,
    inputs: RegressionInputs,
    tz: ZoneInfo,
    terms: ComparisonTerms,
    *,
    on_method: Callable[[], None] = lambda: None,
) -> FacilityComparison:
    """The scores of every rule of `terms`. Raises NotAligned."""
    facility = ComparedFacility(metered, inputs, tz, terms)
    metered_kw = [day.metered_kw for day in facility.days]
    hot_days = hottest(mean_temperatures(facility.days, inputs.temperatures), terms.hot_share)
    methods = {}
    for name, rule in terms.rules.items():
        methods[name] = method_score(facility.baselines_kw(rule), metered_kw, hot_days)
        on_method()
    return FacilityComparison(days=len(facility.days), methods=methods)


def _unless_refused(
    compute: Callable[[BaselineRule, ComparedDay], FloatArray], rule: BaselineRule, day: ComparedDay
) -> FloatArray | None:
    try:
        return compute(rule, day)
    except BaselineImpossible:
        return None

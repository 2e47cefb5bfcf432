"""Why a DR event can never be measured under a program's terms, or is outside of the contract."""

from collections.abc import Callable, Collection
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from domain.baseline import BaselineParameters, is_weekdays_only
from domain.program.terms import BaselineTerms, Terms
from domain.program.window import OutsideCode, WindowTerms
from domain.telemetry.intervals import whole_intervals
from domain.time_series.windows import TimeWindow, is_weekend, local_date

ViolationCode = OutsideCode | Literal["no_service_level", "weekdays_only"]

FIRM_LEVEL = "firm-service-level"


def lacks_service_level(baseline: BaselineTerms, level_kw: str | None) -> bool:
    """True if the method needs a firm service level, and neither the facility nor the program has one."""
    return baseline.method == FIRM_LEVEL and level_kw is None and baseline.parameters.level_kw is None


def with_own_level(parameters: BaselineParameters, level_kw: str | None) -> BaselineParameters:
    """The parameters for a facility: its own firm service level goes before that of the program."""
    return parameters if level_kw is None else replace(parameters, level_kw=float(level_kw))


def violations(
    terms: Terms,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    public_holidays: Callable[[], Collection[date]],
    level_kw: str | None,
) -> dict[ViolationCode, str]:
    """The objections of the contract to a DR event of `window` at a facility. Empty: it is inside, and can be measured.

    `public_holidays` of the facility are asked for only where they matter; `level_kw` is its own firm service level.
    """
    agreed, holidays = terms.window or WindowTerms(), _holidays(terms, public_holidays)
    found: dict[ViolationCode, str] = dict(agreed.violations(window, tz, holidays).items())
    if lacks_service_level(terms.baseline, level_kw):
        found["no_service_level"] = (
            f"{FIRM_LEVEL} needs a level, and neither the program nor the facility's enrolment has one"
        )
    elif is_weekdays_only(terms.baseline.method):
        measured = whole_intervals(window.starts_at, window.ends_at) or window
        day = local_date(measured.starts_at, tz)
        if is_weekend(day) or day in holidays:
            kind = f"a {day:%A}" if is_weekend(day) else "a holiday"
            found["weekdays_only"] = (
                f"{day} is {kind}, and the baseline {terms.baseline.method} has weekdays only"
            )
    return found


def _holidays(terms: Terms, public_holidays: Callable[[], Collection[date]]) -> Collection[date]:
    """The holidays of the program, else the public ones; none where it does not matter which days are holidays."""
    leaves_out = terms.window is not None and not terms.window.on_holidays
    if not (leaves_out or is_weekdays_only(terms.baseline.method)):
        return ()
    return public_holidays() if terms.holidays is None else terms.holidays

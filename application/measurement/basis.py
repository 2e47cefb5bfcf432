"""The agreed terms for the measurement of one facility: its baseline, and the days that are no candidates."""

from collections.abc import Collection
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import msgspec

from application.measurement.agreed_baseline import AgreedBaseline
from application.ports.public_holidays import PublicHolidays
from domain.baseline import BaselineParameters
from domain.baseline.rules import MOST_LOOKBACK_DAYS
from domain.dispatch import REMEASURED_FOR, DispatchState, MeasurementFigures
from domain.facility import FacilityState
from domain.program import with_own_level
from domain.time_series.windows import local_date

LOOK_BACK_DAYS = 45
"""No rule looks further back, except a regression."""
LONGEST_LOOK_BACK = timedelta(days=MOST_LOOKBACK_DAYS + 1)
CORRECTED_FOR = REMEASURED_FOR + LONGEST_LOOK_BACK + timedelta(days=2)
"""No measurement that can still be made again used an older quarter-hour: none of these needs a correction."""

PROGRAM, NOBODY = "program", "none"
"""Whose holidays they are, besides a region."""


class MeasuringBasis(msgspec.Struct, frozen=True, kw_only=True):
    """The agreed terms for one facility; days are local to `tz`."""

    baseline_method: str
    parameters: BaselineParameters = BaselineParameters()
    tz: ZoneInfo
    dr_event_days: Collection[date]
    """Days on which it served other DR events."""
    holidays: Collection[date] = ()
    holidays_of: str = NOBODY
    """`program`, the region whose public holidays they are, or `none`: the time zone belongs to no country."""
    clip_delivery: bool = False

    @property
    def look_back_days(self) -> int:
        return look_back_days(self.baseline_method, self.parameters)


def look_back_days(method: str, parameters: BaselineParameters) -> int:
    """The local days before the day of the window that the method may look at."""
    return parameters.lookback_days if method == "regression" else LOOK_BACK_DAYS


def recorded_basis(figures: MeasurementFigures) -> MeasuringBasis:
    """The basis that a measurement records."""
    return MeasuringBasis(
        baseline_method=figures.baseline_method,
        parameters=figures.parameters,
        tz=ZoneInfo(figures.tz),
        dr_event_days=figures.dr_event_days,
        holidays=figures.holidays,
        holidays_of=figures.holidays_of,
        clip_delivery=figures.clip_delivery,
    )


def basis_of(
    facility: FacilityState,
    agreed: AgreedBaseline,
    dispatch: DispatchState,
    public_holidays: PublicHolidays,
) -> MeasuringBasis:
    """The basis of a dispatch. Local days on which its facility served any other DR event are no candidates, nor are
    the holidays of the program or, where it names none, those of the facility's region.

    Its own firm service level goes before that of the program; a later measurement keeps that of the first, whatever
    was agreed since.
    All days are those of the time zone in force at the start of the window.
    """
    tz = ZoneInfo(facility.tz_at(dispatch.starts_at))
    enrolment = facility.enrolments.get(agreed.program_id)
    today = local_date(dispatch.starts_at, tz)
    region = public_holidays.region_of(tz.key, facility.region_on(today))
    holidays, holidays_of = agreed.holidays, PROGRAM
    if holidays is None:
        first_year = (today - timedelta(days=MOST_LOOKBACK_DAYS)).year
        holidays, holidays_of = public_holidays.in_years(region, first_year, today.year), region or NOBODY
    parameters = with_own_level(agreed.parameters, None if enrolment is None else enrolment.level_kw)
    return MeasuringBasis(
        baseline_method=agreed.method,
        parameters=dispatch.baseline_parameters or parameters,
        tz=tz,
        dr_event_days=facility.event_days(tz, without=dispatch.dr_event_id),
        holidays=holidays,
        holidays_of=holidays_of,
        clip_delivery=agreed.clip_delivery,
    )

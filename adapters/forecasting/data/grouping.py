"""Histories that reach over about the same time make a batch; others would fill it with nothing."""

from collections.abc import Iterator, Sequence

from adapters.forecasting.calendar.local_week import HOURS_A_DAY
from adapters.forecasting.data.hourly import hour_of
from application.ports.forecast.load_forecaster import FacilityHistory

AT_ONCE = 64
"""Facilities in a batch: the more, the less Python; the fewer, the less memory."""
APART_H = 30 * HOURS_A_DAY


def alike(histories: Sequence[FacilityHistory]) -> Iterator[list[int]]:
    """Indices into `histories`, in groups."""
    spans = [(hour_of(one.mean_kw.starts_at), hour_of(one.mean_kw.ends_at)) for one in histories]
    order = sorted(range(len(histories)), key=lambda i: (spans[i][1] // APART_H, spans[i][0], i))
    group: list[int] = []
    for i in order:
        if group and (
            len(group) == AT_ONCE
            or spans[i][0] - spans[group[0]][0] > APART_H
            or abs(spans[i][1] - spans[group[0]][1]) > APART_H
        ):
            yield group
            group = []
        group.append(i)
    if group:
        yield group

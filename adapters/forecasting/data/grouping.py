"""Groups histories of similar length into batches; a short one in a long batch would be mostly empty."""

from collections.abc import Iterator, Sequence

from adapters.forecasting.calendar.local_week import HOURS_A_DAY
from adapters.forecasting.data.hourly import hour_of
from application.ports.forecast.load_forecaster import FacilityHistory

BATCH_SIZE = 64
"""Facilities in a batch: more cost less Python time, fewer cost less memory."""
MAX_START_GAP_H = 30 * HOURS_A_DAY


def group_by_span(histories: Sequence[FacilityHistory]) -> Iterator[list[int]]:
    """Indices into `histories`, in groups."""
    spans = [(hour_of(one.mean_kw.starts_at), hour_of(one.mean_kw.ends_at)) for one in histories]
    order = sorted(range(len(histories)), key=lambda i: (spans[i][1] // MAX_START_GAP_H, spans[i][0], i))
    group: list[int] = []
    for i in order:
        if group and (
            len(group) == BATCH_SIZE
            or spans[i][0] - spans[group[0]][0] > MAX_START_GAP_H
            or abs(spans[i][1] - spans[group[0]][1]) > MAX_START_GAP_H
        ):
            yield group
            group = []
        group.append(i)
    if group:
        yield group

"""The forecasts' application: one stream per facility and cycle, in a log of their own."""

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application

from domain.forecast import Forecast

AGGREGATES: tuple[type, ...] = (Forecast,)
"""Every aggregate of this log; importing them registers their topics."""


class Forecasts(Application[UUID]):
    """Its name is stable: the table and the notification channel are called after it."""

    name = "forecasts"
    # Streams hold a forecast and a reissue or two: there is nothing to snapshot.
    snapshotting_intervals: ClassVar[dict[Any, int]] = {}

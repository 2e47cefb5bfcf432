"""The forecasts application of the event store: one stream per facility and cycle, in a log of their own."""

from uuid import UUID

from eventsourcing.application import Application

from domain.forecast import Forecast

AGGREGATES: tuple[type, ...] = (Forecast,)
"""Every aggregate of this log. Importing them registers their topics."""


class Forecasts(Application[UUID]):
    """The name is stable: it names the table and the notification channel.

    A stream holds a forecast and one or two reissues, so snapshots are not needed.
    """

    name = "forecasts"

"""The register of alerts for operators. An observer states what is open; the register begins and ends alerts."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from domain.administration import AdministrativeAct

_FIRST_LIMIT = 1_000
SILENT_S = 180.0
"""Wall seconds after which a statement does not count any more, unless it says that it holds for longer."""
STATED_EVERY_S = 60.0
"""Wall seconds after which a statement that has not changed is written again."""
CLEARED_FOR_S = 60.0
"""Wall seconds for which an alert that a person ended does not return, whatever is stated."""
UNTIL_RESTATED = float("inf")
"""`holds_s` of a finding that is true until its observer looks again, however long that takes."""
Severity = Literal["warning", "critical", "page"]
AlertDecision = Literal["acknowledged", "cleared"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert; at most one is open for a (name, subject)."""

    alert_id: int
    """In the order of raising."""
    name: str
    """A key of `application.operations.alert_catalogue.ALERTS`."""
    subject: str
    severity: Severity
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    cleared_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    """The actor, as in the log: `operator:<key id>`."""
    acknowledgement: str | None = None
    """What that person wrote."""
    cleared_by: str | None = None
    """None: it ended by its rule."""
    clear_reason: str | None = None


class AlertNotFound(LookupError):
    """No alert has that id."""


class AlertDecided(ValueError):
    """The alert has ended, or is acknowledged already."""


class AlertCursor(NamedTuple):
    """The position of an alert in the list; it never changes."""

    raised_at: datetime
    alert_id: int


class AlertRegistry(Protocol):
    """The only register of alerts, used by every module (synchronous)."""

    def state(
        self,
        name: str,
        stated: Mapping[str, str],
        *,
        observer: str,
        at: datetime,
        holds_s: float = SILENT_S,
    ) -> None:
        """Say of which subjects `observer` sees the alert open, each with its detail, and that it sees no other.

        An alert is open while the statement of any observer counts, which is for `holds_s` wall seconds after it was
        written. An observer whose round failed knows nothing and must state nothing; so it calls this again and again
        while it sees the same, and what has not changed is written each STATED_EVERY_S. `at` is when an alert begins
        or ends by this statement. Raises KeyError for an unknown name, OperationsUnavailable.
        """
        ...

    def stated(self, name: str, *, observer: str) -> dict[str, str]:
        """Subject -> detail of the last statement of `observer`, also where it does not count any more."""
        ...

    def end_unseen(self, *, at: datetime) -> list[Alert]:
        """End the alerts of which no statement counts any more; returns them. One process does so all the time."""
        ...

    def decide(
        self,
        alert_id: int,
        *,
        decision: AlertDecision,
        by: str,
        reason: str,
        at: datetime,
        act_of: Callable[[Alert], AdministrativeAct],
    ) -> Alert:
        """Record what a person decided on an open alert, in one transaction with its act.

        An acknowledged alert stays open; a later statement does not change that. One that is cleared begins anew with a
        statement that is written CLEARED_FOR_S later or after that. Raises AlertNotFound or AlertDecided.
        """
        ...

    def open_by_name(self) -> dict[str, int]:
        """The number of open alerts of each name that has one."""
        ...

    def open_about(self, subject: str, *, limit: int = 100) -> list[Alert]:
        """Open alerts about `subject` or a part of it (`subject/part`), the newest first."""
        ...

    def listed(
        self, *, include_cleared: bool = False, limit: int = 200, after: AlertCursor | None = None
    ) -> list[Alert]:
        """The newest first; `after`: the last entry of the previous page."""
        ...


def every_open_alert(alerts: AlertRegistry) -> list[Alert]:
    """Open alerts, the newest first. The register has no pages, so the limit grows until it is not reached."""
    limit = _FIRST_LIMIT
    while len(found := alerts.listed(limit=limit)) == limit:
        limit *= 2
    return found

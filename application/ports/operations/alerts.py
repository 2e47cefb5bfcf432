"""Alerts for operators, raised and cleared by name and subject."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from domain.administration import AdministrativeAct

_FIRST_LIMIT = 1_000
Severity = Literal["warning", "critical", "page"]
AlertDecision = Literal["acknowledged", "cleared"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; at most one is open for a (name, subject)."""

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
    """That alert has ended, or is acknowledged already."""


class AlertCursor(NamedTuple):
    """The position of an alert in the list; it never changes."""

    raised_at: datetime
    alert_id: int


class AlertRegistry(Protocol):
    """The only register of alerts, used by every module (synchronous)."""

    def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
        """Open the alert, or refresh the open one. An unknown name raises KeyError."""
        ...

    def clear(self, name: str, subject: str, *, at: datetime) -> None:
        """Close the open alert, if there is one."""
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

        An acknowledged alert stays open; whoever raises it again does not change that. One that is cleared and whose
        condition lasts is raised anew. Raises AlertNotFound or AlertDecided.
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

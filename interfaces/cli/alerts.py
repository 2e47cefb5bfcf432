"""`gridproof alerts`: lists alerts, acknowledges them and ends them by hand."""

from __future__ import annotations

from datetime import datetime

import click

from application.operations.alert_decisions import LOOKED_AFTER, decide_alert
from application.ports.operations.alerts import Alert, AlertDecision
from interfaces.cli.console.printing import print_answer, print_fields, print_list
from interfaces.cli.console.session import opened_stores, operator
from interfaces.cli.console.tables import Column

LIST_EXAMPLE = """
\b
Examples:
  gridproof alerts list
  gridproof alerts list --all --limit 500 --json
"""
ACKNOWLEDGE_EXAMPLE = """
\b
Example:
  gridproof alerts acknowledge 1042 --reason "I am calling the building"

The alert stays open until its rule ends it. Nobody else is told about it.
"""
CLEAR_EXAMPLE = """
\b
Example:
  gridproof alerts clear 1042 --reason "the machine was taken away"

If what raised it lasts, it is raised again.
"""


@click.group("alerts", epilog=LIST_EXAMPLE)
def alerts_group() -> None:
    """Alerts: faults of now, and who looks after them. docs/runbooks has a page for each alert."""


@alerts_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--all", "with_ended", is_flag=True, help="Also those that have ended.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_alerts(*, with_ended: bool, limit: int, as_json: bool) -> None:
    """The newest first."""
    with opened_stores() as stores:
        alerts = stores.alerts().listed(include_cleared=with_ended, limit=limit)
    print_list(
        {"alerts": [_document(alert) for alert in alerts]},
        [Column("id", "id"), Column("alert", "id"), "severity", "subject", "detail", "state", "raised at"],
        [(x.alert_id, x.name, x.severity, x.subject, x.detail, _state(x), x.raised_at) for x in alerts],
        if_empty="no alerts" if with_ended else "no alert is open",
        as_json=as_json,
    )


@alerts_group.command("acknowledge", epilog=ACKNOWLEDGE_EXAMPLE)
@click.argument("alert_id", type=int, metavar="ID")
@click.option("--reason", default=LOOKED_AFTER, show_default=True, help="What you do; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def acknowledge(alert_id: int, *, reason: str, as_json: bool) -> None:
    """Say that you look after an alert: it is not escalated any more."""
    _decide(alert_id, "acknowledged", reason=reason, as_json=as_json)


@alerts_group.command("clear", epilog=CLEAR_EXAMPLE)
@click.argument("alert_id", type=int, metavar="ID")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def clear(alert_id: int, *, reason: str, as_json: bool) -> None:
    """End an alert by hand, where its rule cannot know that it is over."""
    _decide(alert_id, "cleared", reason=reason, as_json=as_json)


def _decide(alert_id: int, decision: AlertDecision, *, reason: str, as_json: bool) -> None:
    with opened_stores() as stores:
        alert = decide_alert(
            stores.alerts(),
            alert_id,
            decision,
            by=operator(stores),
            reason=reason,
            at=stores.decision_clock.now(),
        )
    document = _document(alert)
    print_answer(
        document,
        lambda: print_fields(
            (name.replace("_", " "), value) for name, value in document.items() if value is not None
        ),
        as_json=as_json,
    )


def _document(alert: Alert) -> dict[str, object]:
    return {name: getattr(alert, name) for name in alert.__struct_fields__}


def _state(alert: Alert) -> str:
    if alert.cleared_at is not None:
        return f"ended {_minute(alert.cleared_at)}"
    return "open" if alert.acknowledged_at is None else f"acknowledged by {alert.acknowledged_by}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"

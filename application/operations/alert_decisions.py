"""Decisions of a person about an alert: to look after it, or to end it by hand."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID, uuid5

from application.ports.operations.alerts import Alert, AlertDecision, AlertRegistry
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance

ALERT_IDS = UUID("8d9f6b1e-53a0-5c2f-9a57-0c6f2c3de5b4")
LOOKED_AFTER = "being looked after"
"""The reason of an acknowledgement without one."""


def decide_alert(
    alerts: AlertRegistry,
    alert_id: int,
    decision: AlertDecision,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> Alert:
    """Record the decision and its act.

    Raises AlertNotFound, AlertDecided, ReasonRequired or OperationsUnavailable.
    """
    act_of = partial(_act, decision, by, at)
    return alerts.decide(alert_id, decision=decision, by=by, reason=reason, at=at, act_of=act_of)


def _act(decision: AlertDecision, by: str, at: datetime, alert: Alert) -> AdministrativeAct:
    cause = uuid5(ALERT_IDS, str(alert.alert_id))
    provenance = Provenance(
        correlation_id=cause, causation_id=cause, actor=by, tenant=None, trace_id=cause.hex, recorded_at=at
    )
    if decision == "acknowledged":
        return AdministrativeAct.acknowledge_alert(provenance, alert_id=alert.alert_id, alert=alert.name)
    return AdministrativeAct.clear_alert(provenance, alert_id=alert.alert_id, alert=alert.name)

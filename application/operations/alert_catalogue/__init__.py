"""The catalogue of alerts: what raises each, what ends it, and the game-day case that shows both.

Each has a runbook page of the same name in docs/runbooks/, and a Prometheus rule in docs/prometheus/.
"""

from application.operations.alert_catalogue.definition import AlertDefinition
from application.operations.alert_catalogue.dispatch import DISPATCH_ALERTS
from application.operations.alert_catalogue.system import SYSTEM_ALERTS
from application.operations.alert_catalogue.telemetry import TELEMETRY_ALERTS

__all__ = ["ALERTS", "AlertDefinition"]

ALERTS: dict[str, AlertDefinition] = TELEMETRY_ALERTS | DISPATCH_ALERTS | SYSTEM_ALERTS

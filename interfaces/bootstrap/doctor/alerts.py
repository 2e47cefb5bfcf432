"""The check of the open alerts for `gridproof doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from application.ports.operations.alerts import Alert, Severity
from interfaces.bootstrap.doctor.result import CheckResult, named_first

NAME = "alerts"
SEVERITIES: Sequence[Severity] = tuple(reversed(get_args(Severity)))
"""The worst first."""
_WRONG = frozenset({"page", "critical"})


def check_alerts(alerts: Sequence[Alert]) -> CheckResult:
    """All open alerts by severity, with their names; `wrong` where one pages or is critical."""
    by_severity: dict[str, list[str]] = {
        severity: [_described(one) for one in alerts if one.severity == severity] for severity in SEVERITIES
    }
    facts = {severity: names for severity, names in by_severity.items() if names}
    if not facts:
        return CheckResult(check=NAME, state="ok", detail="none open")
    detail = "; ".join(f"{len(names)} {severity}: {named_first(names)}" for severity, names in facts.items())
    return CheckResult(
        check=NAME,
        state="wrong" if _WRONG & facts.keys() else "warning",
        detail=detail,
        advice="docs/runbooks/ has a page of each name; `gridproof alerts list` says more",
        facts=facts,
    )


def _described(alert: Alert) -> str:
    return f"{alert.name} {alert.subject}" + (" (acknowledged)" if alert.acknowledged_at else "")

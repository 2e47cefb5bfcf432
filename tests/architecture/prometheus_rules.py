"""docs/prometheus/gridproof.rules.yml: a rule for each alert; `python tests/architecture/prometheus_rules.py --write`.

The conditions themselves are judged by our workers, which know the log; Prometheus only carries on what the register of
alerts has open.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "prometheus" / "gridproof.rules.yml"
METRIC = "gridproof_alerts_open"
HEAD = """\
# Prometheus rules of Gridproof: one for each alert of application/operations/alert_catalogue.py, by the gauge
# that the web process serves at /metrics. Made by `python tests/architecture/prometheus_rules.py --write`;
# a test holds it against the register.
# Several web processes show the same register: the highest counts.
"""
UNKNOWN = {
    "alert": "gridproof_alerts_unknown",
    "expr": f"absent({METRIC})",
    "for": "1m",
    "labels": {"severity": "page"},
    "annotations": {
        "summary": "no web process can read the register of alerts: the database is away, or nothing is scraped",
        "runbook": "docs/failure-scenarios.md",
    },
}


def rules() -> dict[str, Any]:
    """The file's content."""
    from application.operations.alert_catalogue import ALERTS

    known = [
        {
            "alert": name,
            "expr": f'max({METRIC}{{name="{name}"}}) > 0',
            "labels": {"severity": definition.severity},
            "annotations": {
                "summary": definition.condition,
                "description": "{{ $value }} open; which ones: GET /api/alerts",
                "runbook": f"docs/runbooks/{name}.md",
            },
        }
        for name, definition in sorted(ALERTS.items())
    ]
    return {"groups": [{"name": "gridproof", "rules": [*known, UNKNOWN]}]}


def text() -> str:
    return HEAD + yaml.safe_dump(rules(), sort_keys=False, width=120)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    sys.path.insert(0, str(ROOT))
    FILE.write_text(text())

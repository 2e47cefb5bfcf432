"""The Prometheus rules cover every alert, with its severity and its runbook."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from application.operations.alert_catalogue import ALERTS
from interfaces.bootstrap.health.readiness import DISK_FULL_SHARE
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.workers.web.monitor import DISK_USED
from tests.architecture.prometheus_rules import DISK, FILE, METRIC, ROOT, UNKNOWN, text

EXPRESSION = re.compile(r'max\((?P<metric>\w+)\{name="(?P<name>\w+)"\}\) > 0')


def rules() -> dict[str, dict[str, Any]]:
    """The rules by alert, as Prometheus would read the file."""
    [group] = yaml.safe_load(FILE.read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names))
    return {rule["alert"]: rule for rule in group["rules"]}


def test_the_file_is_as_generated_from_the_alert_catalogue() -> None:
    assert FILE.read_text() == text()


def test_each_alert_has_a_rule_and_each_rule_an_alert() -> None:
    assert rules().keys() == {*ALERTS, UNKNOWN["alert"], DISK["alert"]}


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_rule_queries_its_own_alert_and_names_its_runbook(alert: str) -> None:
    rule = rules()[alert]
    asked = EXPRESSION.fullmatch(rule["expr"])
    assert asked is not None
    assert (asked["metric"], asked["name"]) == (METRIC, alert)
    assert rule["labels"] == {"severity": ALERTS[alert].severity}
    assert (ROOT / rule["annotations"]["runbook"]).is_file()


def test_the_rules_query_a_metric_that_the_api_exports() -> None:
    """A rule on a missing metric or label would never fire."""
    metrics = WebMetrics()
    metrics.note_alerts({})
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    served = {
        (sample.name, sample.labels["name"], sample.labels["severity"])
        for family in families
        for sample in family.samples
        if sample.name == METRIC
    }
    assert served == {(METRIC, name, definition.severity) for name, definition in ALERTS.items()}


def test_the_rule_of_the_disk_queries_a_metric_of_the_web_process() -> None:
    assert "gridproof_disk_used_ratio" in DISK["expr"]
    assert DISK_USED._name == "gridproof_disk_used_ratio"
    assert f"> {DISK_FULL_SHARE}" in DISK["expr"]
    assert (ROOT / "docs/runbooks/disk_filling.md").is_file()

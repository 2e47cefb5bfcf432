"""The Prometheus rules cover every alert, with its severity and its runbook, and each rule has a case."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from application.operations.alert_catalogue import ALERTS
from interfaces.bootstrap.health.readiness import DISK_FULL_SHARE
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.workers.loops import process_monitor
from interfaces.workers.loops.process_monitor import NEAR
from tests.architecture.prometheus_rules import FILE, GAUGE_RULES, METRIC, ROOT, WORKERS, cases, text

EXPRESSION = re.compile(r'max\((?P<metric>\w+)\{name="(?P<name>\w+)"\}\) > 0')


def rules() -> dict[str, dict[str, Any]]:
    """The rules by alert, as Prometheus would read the file."""
    written = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in written]
    assert len(names) == len(set(names))
    return {rule["alert"]: rule for rule in written}


def test_the_file_is_as_generated_from_the_alert_catalogue() -> None:
    assert FILE.read_text() == text()


def test_each_alert_has_a_rule_and_each_rule_an_alert() -> None:
    assert rules().keys() == {*ALERTS, *(rule.name for rule in GAUGE_RULES)}


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


@pytest.mark.parametrize("rule", GAUGE_RULES, ids=lambda rule: rule.name)
def test_a_rule_over_gauges_queries_what_every_process_exports(rule: Any) -> None:
    exported = {family.name for family in REGISTRY.collect()} | {METRIC}
    assert process_monitor.ALIVE_AT._name in exported
    expression = rules()[rule.name]["expr"]
    asked = set(re.findall(r"\bgridproof_\w+", expression.replace('"gridproof.*"', "")))
    assert asked <= exported
    assert (ROOT / rule.runbook).is_file()


def test_the_rules_have_the_bounds_of_the_processes() -> None:
    assert f"> {DISK_FULL_SHARE}" in rules()["gridproof_disk_used"]["expr"]
    assert f"< {NEAR.total_seconds():.0f}" in rules()["gridproof_certificate_ends"]["expr"]


def test_the_rule_of_absent_workers_names_every_worker() -> None:
    named = re.findall(r'"worker", "(\w+)"', rules()["gridproof_worker_absent"]["expr"])
    assert sorted(named) == sorted(WORKERS)


def test_each_rule_has_a_case_in_which_it_is_raised_and_ends() -> None:
    checked = {
        test["alert_rule_test"][0]["alertname"]: [bool(one["exp_alerts"]) for one in test["alert_rule_test"]]
        for test in cases()["tests"]
    }
    assert checked.keys() == rules().keys()
    assert checked.pop("gridproof_watchdog") == [True]
    assert {name for name, fired in checked.items() if fired[0] or fired[-1] or not any(fired)} == set()

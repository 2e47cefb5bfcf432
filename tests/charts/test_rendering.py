"""The chart is rendered as Kubernetes accepts it, and refuses values that could not work."""

from collections import Counter
from typing import Any

import pytest
import yaml

from interfaces.settings.settings import read_settings
from tests.architecture.source_tree import ROOT
from tests.charts.rendering import (
    CHART,
    VALUES,
    Manifest,
    containers,
    described,
    helm_template,
    of_kind,
    pod_template,
    read_manifests,
    rendered,
    run,
    tool,
    validated,
)

pytestmark = pytest.mark.charts

OPERATORS_KINDS = {"monitoring.coreos.com/v1": {"PodMonitor", "PrometheusRule"}}
"""Kinds of operators, whose schemas kubernetes-validate does not have: it would only warn of them."""
OF_OPERATORS = {"default": 0, "minimal": 0, "production": 2}
SCHEMAS = ("1.32", "1.37")
"""The oldest and the newest that the validator brings."""
SECRETS = {
    "GRIDPROOF_DATABASE_URL": "postgresql://role:pw@db/gridproof",
    "GRIDPROOF_DATABASE_REPLICA_URL": "postgresql://role:pw@db-ro/gridproof",
    "GRIDPROOF_MIGRATION_DATABASE_URL": "postgresql://owner:pw@db/gridproof",
    "GRIDPROOF_NATS_URL": "nats://a:b@nats-1,nats://a:b@nats-2",
    "GRIDPROOF_REDIS_URL": "redis://cache",
    "GRIDPROOF_MQTT_URL": "mqtts://a:b@broker",
    "GRIDPROOF_ARCHIVE_URL": "s3://bucket/prefix",
    "GRIDPROOF_ALERT_WEBHOOK_URL": "https://alerts.example.org/hook",
}
"""What the Secrets of the values could contain."""


def is_of_an_operator(manifest: Manifest) -> bool:
    return manifest["kind"] in OPERATORS_KINDS.get(manifest["apiVersion"], ())


@pytest.mark.parametrize("values", VALUES)
def test_the_chart_passes_the_strict_linter(values: str) -> None:
    outcome = run(tool("helm"), "lint", "--strict", str(CHART), *VALUES[values])
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("values", "version"), [("production", SCHEMAS[0]), *((values, SCHEMAS[-1]) for values in VALUES)]
)
def test_every_manifest_has_the_fields_that_kubernetes_knows(values: str, version: str) -> None:
    """Kinds of operators are counted, so that none passes unnoticed."""
    manifests = rendered(values, "--set-string", "migrations.contract=0.2")
    built_in = [one for one in manifests if not is_of_an_operator(one)]
    outcome = validated(built_in, version)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.count("INFO - passed") == len(built_in)
    assert len(manifests) - len(built_in) == OF_OPERATORS[values]


def test_a_misspelt_field_and_an_unlisted_kind_are_noticed() -> None:
    manifests = rendered("minimal")
    manifests[0]["spec"]["podSelectr"] = {}
    assert validated(manifests[:1], SCHEMAS[-1]).returncode != 0
    unlisted = {"apiVersion": "example.org/v1", "kind": "Unlisted", "metadata": {"name": "x"}}
    assert not is_of_an_operator(unlisted)
    assert "INFO - passed" not in validated([unlisted], SCHEMAS[-1]).stdout


def test_the_file_for_cloudnativepg_contains_one_cluster_with_durable_commits() -> None:
    (cluster,) = read_manifests(ROOT / "deploy/cloudnativepg/cluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("postgresql.cnpg.io/v1", "Cluster")
    spec = cluster["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"]["dataDurability"] == "required"
    assert spec["smartShutdownTimeout"] < spec["stopDelay"] <= 15
    allowed = int(spec["postgresql"]["parameters"]["max_connections"])
    production = yaml.safe_load((ROOT / "deploy/values/production.yaml").read_text())
    assert allowed >= production["connections"]["maxConnections"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "procesess.web.replicas=1"], "procesess"),
        (["--set", "processes.decide.replicas=4"], "maximum: got 4, want 3"),
        (["--set", "processes.aggregate.maxReplicas=9"], "maximum: got 9, want 8"),
        (["--set", "processes.web.resources.limits=null"], "limits"),
        (["--set", "images.lean.tag=latest"], "/images/lean/tag"),
        (["--set", "settings.GRIDPROOF_NATS_URL=nats://a:b@c"], "invalid propertyName 'GRIDPROOF_NATS_URL'"),
        (["--set", "settings.GRIDPROOF_SECRET_BMS=pw"], "invalid propertyName 'GRIDPROOF_SECRET_BMS'"),
        (["--set", "settings.PGPASSWORD=pw"], "invalid propertyName 'PGPASSWORD'"),
        (["--set", "settings.GRIDPROOF_FAILPOINT=relay.x"], "invalid propertyName 'GRIDPROOF_FAILPOINT'"),
        (["--set", "secrets.addresses.GRIDPROOF_NATS_URL=nats://a:b@c"], "GRIDPROOF_NATS_URL"),
        (["--set", "secrets.references.GRIDPROOF_LEDGER_KEY=null"], "GRIDPROOF_LEDGER_KEY"),
        (["--set-json", "networkPolicy.archive.to=[]"], "minItems: got 0, want 1"),
        (["--set", "ingress.enabled=true"], "/ingress"),
        (["--set", "migrations.contract=newest"], "/migrations/contract"),
        (
            ["--set", "processes.web.replicas=16"],
            "may open 730 sessions of PostgreSQL, and connections.maxConnections is 600: run fewer, or raise",
        ),
        (["--set", "mqtt.sessions=3"], "raise processes.ingest.replicas"),
        (["--set", "processes.web.maxReplicas=2"], "processes.web.maxReplicas is below its replicas"),
    ],
    ids=lambda value: value[1].partition("=")[0] if isinstance(value, list) else "",
)
def test_values_that_could_not_work_are_refused(options: list[str], said: str) -> None:
    outcome = helm_template("default", *options)
    assert outcome.returncode != 0
    assert said in outcome.stderr


def test_the_autoscaler_counts_with_the_most_that_it_may_start() -> None:
    assert helm_template("default", "--set", "processes.web.maxReplicas=16").returncode == 0
    scaling = ("--set", "processes.web.maxReplicas=16", "--set", "autoscaling.enabled=true")
    assert "may open" in helm_template("default", *scaling).stderr


def environment_of(container: Manifest) -> dict[str, str]:
    """The variables of a container, with made-up values of its Secrets."""
    environment = {}
    for variable in container["env"]:
        made_up = SECRETS.get(variable["name"], "made up")
        environment[variable["name"]] = variable.get("value", made_up)
    return environment


@pytest.mark.parametrize("values", VALUES)
def test_each_process_accepts_its_settings(values: str) -> None:
    for workload in of_kind(rendered(values), "Deployment", "Job"):
        (container,) = containers(workload)
        settings = read_settings(environment_of(container))
        assert settings.database_url == SECRETS["GRIDPROOF_DATABASE_URL"]
        assert (settings.migration_database_url is None) == (workload["kind"] == "Deployment")


def test_a_secret_is_a_variable_of_only_the_processes_that_read_it() -> None:
    readers: dict[str, set[str]] = {}
    for workload in of_kind(rendered("production"), "Deployment"):
        (container,) = containers(workload)
        for name in environment_of(container):
            readers.setdefault(name, set()).add(container["name"])
    assert readers["VALUE_OF_LEDGER_KEY"] == {"project"}
    assert readers["VALUE_OF_ARCHIVE_S3_SECRET"] == {"project", "archive"}
    assert readers["VALUE_OF_WEATHER_KEY"] == {"compute"}
    assert readers["VALUE_OF_ALERT_WEBHOOK_SECRET"] == {"watch"}
    assert readers["GRIDPROOF_MQTT_URL"] == {"ingest"}
    assert readers["GRIDPROOF_REDIS_URL"] == {"web", "aggregate", "compute"}
    assert readers["GRIDPROOF_LEDGER_KEY"] == readers["GRIDPROOF_DATABASE_URL"]


def test_secrets_of_the_portfolio_reach_only_the_processes_that_use_them() -> None:
    of_portfolio = {
        container["name"]: [one["secretRef"]["name"] for one in container["envFrom"]]
        for workload in of_kind(rendered("production"), "Deployment")
        for container in containers(workload)
        if container.get("envFrom")
    }
    assert of_portfolio == {
        "web": ["gridproof-webhooks"],
        "dispatch": ["gridproof-buildings"],
        "watch": ["gridproof-callbacks"],
    }


def test_the_schema_is_expanded_before_an_upgrade_and_contracted_only_by_hand() -> None:
    (job,) = of_kind(rendered(), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert [one["args"] for one in containers(job)] == [["migrate"]]
    assert of_kind(rendered(), "CronJob") == []
    (contraction,) = of_kind(rendered("default", "--set-string", "migrations.contract=0.2"), "CronJob")
    assert contraction["spec"]["suspend"] is True
    assert "annotations" not in contraction["metadata"]
    assert [one["args"] for one in containers(contraction)] == [["migrate", "--contract", "0.2"]]


def test_the_rules_of_the_chart_are_those_of_the_documentation() -> None:
    (rules,) = of_kind(rendered("production"), "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((ROOT / "docs/prometheus/gridproof.rules.yml").read_text())


def zones_of(manifest: Manifest) -> dict[str, Any]:
    constraint: dict[str, Any] = pod_template(manifest)["spec"]["topologySpreadConstraints"][0]
    return {name: constraint.get(name) for name in ("maxSkew", "whenUnsatisfiable", "minDomains")}


def test_three_zones_are_required_in_production() -> None:
    for deployment in of_kind(rendered("production"), "Deployment"):
        zones = zones_of(deployment)
        assert zones == {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3}, described(
            deployment
        )
    assert {zones_of(one)["whenUnsatisfiable"] for one in of_kind(rendered(), "Deployment")} == {
        "ScheduleAnyway"
    }


def test_a_process_that_is_not_wanted_has_no_manifest_but_its_network_policy() -> None:
    kinds = Counter(
        one["kind"]
        for one in rendered("minimal", "--set", "processes.archive.replicas=0")
        if one["metadata"]["name"] == "gridproof-archive"
    )
    assert kinds == {"NetworkPolicy": 1}


def test_web_processes_may_get_requests_without_the_database() -> None:
    (web,) = [
        container
        for workload in of_kind(rendered("minimal", "--set", "webTraffic=alive"), "Deployment")
        for container in containers(workload)
        if container["name"] == "web"
    ]
    assert web["readinessProbe"]["httpGet"]["path"] == "/health"
    assert web["startupProbe"]["httpGet"]["path"] == "/ready"


def test_the_notes_name_the_next_step() -> None:
    command = (
        tool("helm"),
        "install",
        "gridproof",
        str(CHART),
        "--dry-run=client",
        "--set",
        "service.port=81",
    )
    outcome = run(*command)
    assert outcome.returncode == 0, outcome.stderr
    notes = outcome.stdout.partition("\nNOTES:\n")[2]
    assert "exec deployment/gridproof-web -- gridproof doctor" in notes
    assert "port-forward service/gridproof-web 8080:81" in notes

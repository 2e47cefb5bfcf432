"""Every manifest of the chart fulfils the policies, and each policy refuses a manifest that breaks it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.charts import policies
from tests.charts.policies import POLICIES, Policy, breaches
from tests.charts.rendering import VALUES, Manifest, containers, of_kind, pod_template, rendered

pytestmark = pytest.mark.charts

WITH_CONTRACTION = ("--set-string", "migrations.contract=0.2")
Breakage = Callable[[list[Manifest]], object]


def notify(manifests: list[Manifest]) -> Manifest:
    (found,) = [
        one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"] == "gridproof-watch"
    ]
    return found


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = containers(notify(manifests))
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = pod_template(notify(manifests))["spec"]
    return spec


def contraction(manifests: list[Manifest]) -> Manifest:
    (found,) = containers(of_kind(manifests, "CronJob")[0])
    return found


def add_variable(manifests: list[Manifest], name: str, value: str) -> None:
    container(manifests)["env"].append({"name": name, "value": value})


def remove(manifests: list[Manifest], kind: str, name: str) -> None:
    manifests[:] = [one for one in manifests if (one["kind"], one["metadata"]["name"]) != (kind, name)]


def open_rule(manifests: list[Manifest], direction: str, rule: dict[str, Any]) -> None:
    (policy,) = [
        one for one in of_kind(manifests, "NetworkPolicy") if one["metadata"]["name"] == "gridproof-watch"
    ]
    policy["spec"][direction].append(rule)


BREAKAGES: list[tuple[Policy, str, Breakage]] = [
    (policies.memory_is_bounded, "no memory limit", lambda m: container(m)["resources"].pop("limits")),
    (
        policies.memory_is_bounded,
        "requests no cpu, memory",
        lambda m: container(m)["resources"].pop("requests"),
    ),
    (policies.memory_is_bounded, "no memory limit", lambda m: contraction(m).pop("resources")),
    (
        policies.root_file_system_is_read_only,
        "root file system is writable",
        lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    (
        policies.runs_as_an_ordinary_user,
        "may run as root",
        lambda m: container(m)["securityContext"].update(runAsNonRoot=False),
    ),
    (
        policies.runs_as_an_ordinary_user,
        "names no user",
        lambda m: pod(m)["securityContext"].update(runAsUser=0),
    ),
    (
        policies.has_no_capability,
        "keeps capabilities",
        lambda m: container(m)["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    ),
    (
        policies.has_no_capability,
        "may gain privileges",
        lambda m: container(m)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    (policies.is_separated_from_the_node, "the node's", lambda m: pod(m).update(hostNetwork=True)),
    (
        policies.is_separated_from_the_node,
        "the node's",
        lambda m: pod(m)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    ),
    (
        policies.is_separated_from_the_node,
        "no seccomp profile",
        lambda m: pod(m)["securityContext"].pop("seccompProfile"),
    ),
    (policies.has_no_cluster_token, "a token", lambda m: pod(m).pop("automountServiceAccountToken")),
    (policies.gets_no_service_variables, "GRIDPROOF_...", lambda m: pod(m).pop("enableServiceLinks")),
    (policies.is_probed, "no startupProbe", lambda m: container(m).pop("startupProbe")),
    (policies.is_probed, "no livenessProbe", lambda m: container(m).pop("livenessProbe")),
    (policies.is_probed, "no readinessProbe", lambda m: container(m).pop("readinessProbe")),
    (
        policies.image_is_one_release,
        "another release tomorrow",
        lambda m: container(m).update(image="example:5000/gridproof:latest"),
    ),
    (
        policies.image_is_one_release,
        "another release tomorrow",
        lambda m: container(m).update(image="example:5000/gridproof"),
    ),
    (
        policies.secrets_are_referred_to,
        "GRIDPROOF_DATABASE_URL has its value in clear",
        lambda m: add_variable(m, "GRIDPROOF_DATABASE_URL", "postgresql://db/gridproof"),
    ),
    (
        policies.secrets_are_referred_to,
        "GRIDPROOF_SECRET_BMS has its value in clear",
        lambda m: add_variable(m, "GRIDPROOF_SECRET_BMS", "pw"),
    ),
    (
        policies.secrets_are_referred_to,
        "PROXY has its value in clear",
        lambda m: add_variable(m, "PROXY", "http://user:pw@proxy"),
    ),
    (
        policies.secrets_are_referred_to,
        "contains a secret",
        lambda m: m.append({"kind": "Secret", "metadata": {"name": "x"}}),
    ),
    (
        policies.spreads_over_zones,
        "may be in one zone",
        lambda m: pod(m)["topologySpreadConstraints"][0].update(topologyKey="kubernetes.io/hostname"),
    ),
    (
        policies.survives_a_drain,
        "one disruption budget",
        lambda m: remove(m, "PodDisruptionBudget", "gridproof-watch"),
    ),
    (
        policies.network_is_closed,
        "no policy denies",
        lambda m: remove(m, "NetworkPolicy", "gridproof-default-deny"),
    ),
    (
        policies.network_is_closed,
        "every destination",
        lambda m: open_rule(m, "egress", {"ports": [{"port": 443}], "to": []}),
    ),
    (
        policies.network_is_closed,
        "every caller",
        lambda m: open_rule(m, "ingress", {"ports": [{"port": 443}]}),
    ),
    (policies.is_scaled_by_one, "scales nothing", lambda m: remove(m, "Deployment", "gridproof-web")),
    (
        policies.is_scaled_by_one,
        "undo what the autoscaler decided",
        lambda m: [one["spec"].update(replicas=3) for one in of_kind(m, "Deployment")],
    ),
]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_every_manifest_fulfils_the_policy(values: str, policy: Policy) -> None:
    assert breaches(rendered(values, *WITH_CONTRACTION), policy) == []


@pytest.mark.parametrize(
    ("policy", "said", "break_it"), BREAKAGES, ids=[f"{one[0].__name__}: {one[1]}" for one in BREAKAGES]
)
def test_a_manifest_that_breaks_the_policy_is_refused(policy: Policy, said: str, break_it: Breakage) -> None:
    manifests = rendered("production", *WITH_CONTRACTION)
    break_it(manifests)
    assert any(said in breach for breach in breaches(manifests, policy))


def test_each_policy_has_a_manifest_that_breaks_it() -> None:
    assert {policy for policy, _, _ in BREAKAGES} == set(POLICIES)

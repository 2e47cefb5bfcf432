"""What every manifest of the chart must fulfil. Each policy yields what is wrong, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from interfaces.settings.settings import PREFIX, SECRET_PREFIX, Settings
from tests.charts.rendering import WORKLOADS, Manifest, containers, described, of_kind, pod_template

Policy = Callable[[Sequence[Manifest]], Iterator[str]]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
ZONE = "topology.kubernetes.io/zone"
SECRET_SETTINGS = {PREFIX + field.name.upper() for field in fields(Settings) if not field.repr}
"""Their values are addresses that may hold a login."""
LOOKS_SECRET = re.compile(r"://[^/@\s]+:[^/@\s]+@|-----BEGIN|(?i:password|secret|token)=")
HOST = ("hostNetwork", "hostPID", "hostIPC")


def _each_container(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for workload in of_kind(manifests, *WORKLOADS):
        for container in containers(workload):
            yield f"{described(workload)}, {container['name']}", container


def _each_pod(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for workload in of_kind(manifests, *WORKLOADS):
        yield described(workload), pod_template(workload)["spec"]


def memory_is_bounded(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        resources = container.get("resources", {})
        if not resources.get("limits", {}).get("memory"):
            yield f"{place}: no memory limit"
        missing = {"cpu", "memory"} - resources.get("requests", {}).keys()
        if missing:
            yield f"{place}: requests no {', '.join(sorted(missing))}"


def root_file_system_is_read_only(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{place}: its root file system is writable"


def runs_as_an_ordinary_user(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        context = container.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
            yield f"{place}: may run as root"
    for place, spec in _each_pod(manifests):
        if not spec.get("securityContext", {}).get("runAsUser"):
            yield f"{place}: names no user, or root"


def has_no_capability(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        context = container.get("securityContext", {})
        capabilities = context.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{place}: keeps capabilities"
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{place}: may gain privileges"


def is_separated_from_the_node(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, spec in _each_pod(manifests):
        if any(spec.get(name) for name in HOST) or any("hostPath" in one for one in spec.get("volumes", ())):
            yield f"{place}: uses the node's namespaces or files"
        if spec.get("securityContext", {}).get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{place}: has no seccomp profile"


def has_no_cluster_token(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, spec in _each_pod(manifests):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{place}: gets a token for the API server, which no process calls"


def gets_no_service_variables(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, spec in _each_pod(manifests):
        if spec.get("enableServiceLinks") is not False:
            yield f"{place}: a Service gridproof-... becomes a variable GRIDPROOF_..., which no process accepts"


def is_probed(manifests: Sequence[Manifest]) -> Iterator[str]:
    for workload in of_kind(manifests, "Deployment"):
        for container in containers(workload):
            for probe in PROBES:
                if probe not in container:
                    yield f"{described(workload)}, {container['name']}: no {probe}"


def image_is_one_release(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        name, _, tag = container["image"].rpartition("/")[2].partition(":")
        if "@sha256:" not in container["image"] and (not name or tag in {"", "latest"}):
            yield f"{place}: {container['image']} may be another release tomorrow"


def secrets_are_referred_to(manifests: Sequence[Manifest]) -> Iterator[str]:
    for place, container in _each_container(manifests):
        for variable in container.get("env", ()):
            value, name = variable.get("value"), variable["name"]
            if value is None:
                continue
            if name in SECRET_SETTINGS or name.startswith(SECRET_PREFIX) or LOOKS_SECRET.search(value):
                yield f"{place}: {name} has its value in clear; refer to a key of a Secret"
    for secret in of_kind(manifests, "Secret"):
        yield f"{described(secret)}: the chart contains a secret"


def spreads_over_zones(manifests: Sequence[Manifest]) -> Iterator[str]:
    for workload in of_kind(manifests, "Deployment"):
        template = pod_template(workload)
        for constraint in template["spec"].get("topologySpreadConstraints", ()):
            selected = constraint["labelSelector"]["matchLabels"]
            if constraint["topologyKey"] == ZONE and _selects(selected, template["metadata"]["labels"]):
                break
        else:
            yield f"{described(workload)}: all of its pods may be in one zone"


def survives_a_drain(manifests: Sequence[Manifest]) -> Iterator[str]:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for workload in of_kind(manifests, "Deployment"):
        labels = pod_template(workload)["metadata"]["labels"]
        mine = [one for one in budgets if _selects(one["spec"]["selector"]["matchLabels"], labels)]
        if len(mine) != 1 or mine[0]["spec"].get("maxUnavailable") != 1:
            yield f"{described(workload)}: one disruption budget that lets one pod go is needed"


def network_is_closed(manifests: Sequence[Manifest]) -> Iterator[str]:
    policies = of_kind(manifests, "NetworkPolicy")
    for workload in of_kind(manifests, *WORKLOADS):
        labels = pod_template(workload)["metadata"]["labels"]
        mine = [
            one for one in policies if _selects(one["spec"]["podSelector"].get("matchLabels", {}), labels)
        ]
        closed = [one for one in mine if set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}]
        if not any(not {"ingress", "egress"} & one["spec"].keys() for one in closed):
            yield f"{described(workload)}: no policy denies what is not allowed"
    for policy in policies:
        for rule in policy["spec"].get("egress", ()):
            if not rule.get("to") or not rule.get("ports"):
                yield f"{described(policy)}: a rule allows every destination or every port"
        for rule in policy["spec"].get("ingress", ()):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{described(policy)}: a rule allows every caller or every port"


def is_scaled_by_one(manifests: Sequence[Manifest]) -> Iterator[str]:
    workloads = {described(one): one for one in of_kind(manifests, "Deployment")}
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = workloads.get(f"{target['kind']}/{target['name']}")
        if workload is None:
            yield f"{described(scaler)}: scales nothing"
        elif "replicas" in workload["spec"]:
            yield f"{described(workload)}: an upgrade would undo what the autoscaler decided"


def _selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    return selector.items() <= labels.items()


POLICIES: tuple[Policy, ...] = (
    memory_is_bounded,
    root_file_system_is_read_only,
    runs_as_an_ordinary_user,
    has_no_capability,
    is_separated_from_the_node,
    has_no_cluster_token,
    gets_no_service_variables,
    is_probed,
    image_is_one_release,
    secrets_are_referred_to,
    spreads_over_zones,
    survives_a_drain,
    network_is_closed,
    is_scaled_by_one,
)


def breaches(manifests: Sequence[Manifest], policy: Policy) -> list[str]:
    return list(policy(manifests))

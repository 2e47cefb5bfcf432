"""Runs the tools of `make charts`: Helm, and kubernetes-validate, which brings the schemas of Kubernetes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.source_tree import ROOT

Manifest = dict[str, Any]
TOOLS = ROOT / ".venv-charts" / "bin"
CHART = ROOT / "deploy" / "chart"
VALUES: dict[str, list[str]] = {
    "default": [],
    "minimal": ["--values", str(ROOT / "deploy/values/minimal.yaml")],
    "production": ["--values", str(ROOT / "deploy/values/production.yaml")],
}
WITHIN_S = 300
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"}


def tool(name: str) -> str:
    """The path of a tool; skips the test where `make charts` has not installed it."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is absent: run `make charts`")
    return str(path)


def run(*command: str, content: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=content, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def helm_template(values: str = "default", *options: str) -> subprocess.CompletedProcess[str]:
    """Render the chart as the release `gridproof`, without a cluster."""
    return run(tool("helm"), "template", "gridproof", str(CHART), *VALUES[values], *options)


@cache
def _rendered(values: str, options: tuple[str, ...]) -> list[Manifest]:
    outcome = helm_template(values, *options)
    assert outcome.returncode == 0, outcome.stderr
    return [document for document in yaml.safe_load_all(outcome.stdout) if document]


def rendered(values: str = "default", *options: str) -> list[Manifest]:
    """The manifests, which the caller may change."""
    return deepcopy(_rendered(values, options))


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def described(manifest: Manifest) -> str:
    """`Deployment/gridproof-web`."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_template(workload: Manifest) -> Manifest:
    """What describes the pods of a workload: `metadata` and `spec`."""
    if workload["kind"] == "Pod":
        return workload
    spec = workload["spec"]
    template: Manifest = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
    return template


def containers(workload: Manifest) -> Iterator[Manifest]:
    spec = pod_template(workload)["spec"]
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def validated(manifests: Sequence[Manifest], version: str) -> subprocess.CompletedProcess[str]:
    """Hold manifests of built-in kinds against the schemas of a version of Kubernetes; unknown fields are refused."""
    return run(
        tool("kubernetes-validate"),
        "-k",
        version,
        "--strict",
        "-",
        content=yaml.safe_dump_all(manifests),
    )


def read_manifests(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]

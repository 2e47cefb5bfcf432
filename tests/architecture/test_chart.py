"""The Helm chart knows the processes, settings, probes and metrics of the code. `make charts` renders it."""

import json
import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from adapters.embedded import EmbeddedServers
from adapters.embedded.loopback import free_port
from adapters.postgres.schema.worker_roles import WORKER_ROLES
from application.facility.secret_references import PREFIX as SECRET_PREFIX
from application.facility.secret_references import PURPOSES
from application.operations.process_kinds import EXTRAS_OF_WORKERS, KINDS
from application.operations.process_kinds import NAMES as WORKERS
from domain.telemetry.meter_reading import PARTITIONS
from interfaces.bootstrap import worker_credentials
from interfaces.bootstrap.connection_budget import connection_budget
from interfaces.settings.settings import PREFIX, Settings
from interfaces.workers.loops.probe_server import ProbeServer
from projections.registry import PROJECTIONS
from tests.architecture.source_tree import ROOT
from tests.patience import ANSWER_S

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
ABOUT = yaml.safe_load((CHART / "files/processes.yaml").read_text())
PROCESSES: dict[str, dict[str, Any]] = ABOUT["processes"]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())["properties"]
TEMPLATES = {file.name: file.read_text() for file in (CHART / "templates").iterdir()}
SETTINGS = {PREFIX + field.name.upper() for field in fields(Settings)}
SECRET_SETTINGS = {PREFIX + field.name.upper() for field in fields(Settings) if not field.repr}
DATABASE = {"GRIDPROOF_DATABASE_URL", "GRIDPROOF_MIGRATION_DATABASE_URL"}
READERS = {
    PREFIX + name.upper(): {kind.name for kind in KINDS if name in {*kind.secrets, "snapshot_key"}}
    for name in {"snapshot_key"}.union(*(kind.secrets for kind in KINDS))
}
"""Setting that refers to a secret -> the workers that read it."""


def workers_that(attribute: str, value: str) -> set[str]:
    return {name for name, about in PROCESSES.items() if value in about.get(attribute, ())}


def test_the_chart_has_every_process_and_no_other() -> None:
    schema = SCHEMA["processes"]["properties"]
    assert set(PROCESSES) == set(VALUES["processes"]) == set(schema) == set(WORKERS)


def test_the_chart_installs_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_sessions_of_each_process_are_its_connection_budget() -> None:
    budget = {name: sum(connection_budget(name, Settings()).values()) for name in (*WORKERS, "cli")}
    of_chart = {name: about["sessions"] for name, about in PROCESSES.items()}
    assert of_chart | {"cli": ABOUT["commands"]["migrate"]["sessions"]} == budget


def test_no_more_processes_are_accepted_than_have_something_to_do() -> None:
    useful = {name: about["useful"] for name, about in PROCESSES.items()}
    assert useful["aggregate"] == PARTITIONS
    assert useful["project"] == len(PROJECTIONS) + 1  # and the ledger
    assert useful["ingest"] == SCHEMA["mqtt"]["properties"]["sessions"]["maximum"]
    for name, schema in SCHEMA["processes"]["properties"].items():
        counts = schema["properties"].keys() & {"replicas", "maxReplicas"}
        assert {schema["properties"][count]["maximum"] for count in counts} == {useful[name]}, name


def test_the_processes_that_need_an_extra_have_the_image_with_all_of_them() -> None:
    assert {name for name, about in PROCESSES.items() if about["image"] == "full"} == set(EXTRAS_OF_WORKERS)


def test_each_process_has_the_role_of_its_kind_at_postgresql() -> None:
    roles = {f"gridproof_{about['role']}" for about in PROCESSES.values()}
    assert roles == set(WORKER_ROLES)
    assert set(VALUES["secrets"]["database"]["keys"]) == {
        *(about["role"] for about in PROCESSES.values()),
        ABOUT["commands"]["migrate"]["role"],
        "owner",
    }


@pytest.mark.parametrize("worker", WORKERS)
def test_each_process_gets_the_addresses_that_gridproof_up_gives_it(worker: str, tmp_path: Path) -> None:
    outside = EmbeddedServers(tmp_path, postgres=False, nats=False, valkey=False)
    names = [field.name for field in fields(Settings) if not field.repr]
    somewhere: dict[str, Any] = dict.fromkeys(names, "somewhere")
    given = worker_credentials.worker_settings(replace(Settings(), **somewhere), outside, worker)
    scoped = {
        PREFIX + name.upper() for name in names if getattr(given, name) is None
    } - DATABASE  # the owner's role is for the migrations
    withheld = {
        setting
        for setting, reached in ABOUT["scopedAddresses"].items()
        if reached not in PROCESSES[worker]["reaches"]
    }
    assert withheld == scoped


def test_each_process_reaches_the_servers_that_it_works_with() -> None:
    assert workers_that("reaches", "postgresql") == set(WORKERS)
    assert workers_that("reaches", "collector") == set(WORKERS)
    assert workers_that("reaches", "influxdb") == READERS["GRIDPROOF_INFLUX_TOKEN"]
    assert workers_that("reaches", "archive") == READERS["GRIDPROOF_ARCHIVE_S3_SECRET"]
    assert workers_that("reaches", "weather") == READERS["GRIDPROOF_WEATHER_KEY"]
    assert workers_that("reaches", "callbacks") == READERS["GRIDPROOF_ALERT_WEBHOOK_SECRET"]
    assert workers_that("reaches", "mail") == READERS["GRIDPROOF_ALERT_SMTP_PASSWORD"]
    assert workers_that("reaches", "buildings") == {"dispatch"}
    reached = {one for about in PROCESSES.values() for one in about["reaches"]}
    assert reached == set(VALUES["networkPolicy"]) - {"enabled", "dns", "callers", "monitoring"}


def test_each_secret_reaches_only_the_processes_that_read_it() -> None:
    assert {setting: workers_that("reads", setting) for setting in READERS} == {
        setting: set(readers) for setting, readers in READERS.items()
    }
    of_portfolio = {name: about.get("portfolioSecrets") for name, about in PROCESSES.items()}
    assert of_portfolio == {kind.name: kind.portfolio_secrets for kind in KINDS}
    assert set(VALUES["secrets"]["portfolio"]) == set(PURPOSES)


def test_every_secret_setting_can_be_given_by_reference_and_in_no_other_way() -> None:
    addresses = set(SCHEMA["secrets"]["properties"]["addresses"]["properties"])
    references = set(SCHEMA["secrets"]["properties"]["references"]["properties"])
    assert addresses == SECRET_SETTINGS - DATABASE
    assert references == set(READERS)
    prefix, refused = SCHEMA["settings"]["propertyNames"]["not"]["anyOf"]
    assert prefix == {"pattern": f"^{SECRET_PREFIX}"}
    assert SECRET_SETTINGS | references <= set(refused["enum"]) <= SETTINGS


def test_every_setting_that_the_chart_names_exists() -> None:
    files = [file for file in DEPLOY.rglob("*") if file.is_file()]
    named = {
        name for file in files for name in re.findall(r"\bGRIDPROOF_[A-Z0-9_]*[A-Z0-9]\b", file.read_text())
    }
    assert len(named) > 40
    assert named - SETTINGS - {SECRET_PREFIX.rstrip("_")} == set()


def test_the_probed_paths_exist() -> None:
    paths = {
        path
        for template in TEMPLATES.values()
        for path in re.findall(r"path: (/\w+), (?:port: metrics|interval)", template)
    } | set(re.findall(r"port: metrics, path: (/\w+)", TEMPLATES["monitoring.yaml"]))
    assert paths == {"/health", "/ready", "/metrics"}
    server = ProbeServer()
    port = server.serve(f"127.0.0.1:{free_port()}")
    try:
        for path in paths:
            assert (
                httpx.get(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S).status_code
                != httpx.codes.NOT_FOUND
            )
    finally:
        server.close()


def test_the_metrics_that_processes_are_scaled_by_exist() -> None:
    metrics = set(json.loads((ROOT / "tests/architecture/stored_names.json").read_text())["metrics"])
    used = set(re.findall(r"metric: \{name: (\w+)", TEMPLATES["autoscaling.yaml"]))
    adapter = yaml.safe_load((DEPLOY / "prometheus-adapter/values.yaml").read_text())["rules"]
    served = {rule["name"]["as"] for rule in (*adapter["custom"], *adapter["external"])}
    queried = {
        re.match(r"\w+", rule["seriesQuery"])[0]  # type: ignore[index]
        for rule in (*adapter["custom"], *adapter["external"])
    }
    assert len(used) == 2
    assert used == served == queried
    assert used <= metrics


def test_the_guide_names_every_value_of_the_first_level() -> None:
    guide = (ROOT / "docs/guides/kubernetes.md").read_text()
    assert [name for name in VALUES if f"`{name}" not in guide] == []

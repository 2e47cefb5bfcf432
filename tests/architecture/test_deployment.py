"""The files of deploy/ and the Containerfile name commands, settings and workers that exist."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.operations.process_kinds import EXTRAS_OF_WORKERS
from application.operations.process_kinds import NAMES as WORKERS
from interfaces.cli import COMMANDS
from interfaces.settings.description import setting_descriptions
from tests.architecture.source_tree import ROOT
from tests.patience import START_S

UNITS = ROOT / "deploy/systemd"
COMPOSE = ROOT / "deploy/compose/compose.yaml"
CONTAINERFILE = ROOT / "Containerfile"
PROGRAM = "/opt/gridproof/bin/gridproof"
NOT_SETTINGS = {"APP_PASSWORD"}
"""Of the compose file alone: the password that its addresses of the database contain."""


def setting_names() -> set[str]:
    return {one.name for one in setting_descriptions()}


def test_the_deployment_files_name_settings_that_exist() -> None:
    files = [CONTAINERFILE, COMPOSE, *UNITS.rglob("*.*")]
    written = {
        (file.name, name)
        for file in files
        if file.is_file()
        for name in re.findall(r"\bGRIDPROOF_[A-Z0-9_]+\b", file.read_text())
    }
    assert len(written) > 8
    assert {place for place in written if place[1] not in setting_names() | NOT_SETTINGS} == set()


# ------------------------------------------------------------------------------------------------------- systemd


def verified(folder: Path, *units: str, verifier: Path) -> str:
    """What `systemd-analyze verify` says of units of `folder`, with a program that exists; nothing: they are valid."""
    for file in folder.rglob("*.service"):
        file.write_text(file.read_text().replace(PROGRAM, "/bin/true"))
    outcome = subprocess.run(
        [verifier, "verify", "--man=no", *units],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip
    return outcome.stdout + outcome.stderr + ("" if outcome.returncode == 0 else f"exit {outcome.returncode}")


def units_of_workers() -> dict[str, str]:
    """Worker -> its unit, with an instance."""
    return {name: f"gridproof-{name}@1.service" for name in WORKERS}


def test_each_worker_has_a_template_unit_that_starts_it() -> None:
    started = {
        file.name.replace("@.", "@1."): re.search(
            rf"^ExecStart={PROGRAM} worker (\w+)$", file.read_text(), re.MULTILINE
        )
        for file in UNITS.glob("gridproof-*@.service")
    }
    assert {name: found and found[1] for name, found in started.items()} == {
        unit: worker for worker, unit in units_of_workers().items()
    }


def test_every_unit_starts_after_the_migration_and_ends_with_the_target() -> None:
    for file in UNITS.glob("gridproof-*@.service"):
        text = file.read_text()
        assert "After=gridproof-migrate.service" in text, file.name
        assert "WantedBy=gridproof.target" in text, file.name
    assert "PartOf=gridproof.target" in (UNITS / "gridproof-.service.d/common.conf").read_text()


def test_a_unit_whose_worker_needs_an_extra_says_so() -> None:
    for worker, extras in EXTRAS_OF_WORKERS.items():
        text = (UNITS / f"gridproof-{worker}@.service").read_text()
        assert all(f"the extra {extra}" in text for extra in extras), worker


def test_systemd_accepts_the_units(debian_command: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(UNITS, tmp_path / "units")
    units = [*units_of_workers().values(), "gridproof-migrate.service", "gridproof.target"]
    assert verified(folder, *units, verifier=debian_command("systemd-analyze")) == ""


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("gridproof-decide@.service", "RestartSecs=5"),
        (
            "gridproof-.service.d/common.conf",
            "ProtectSystems=strict",
        ),  # the options for all do reach the unit
    ],
)
def test_systemd_refuses_a_misspelt_option(
    debian_command: Callable[[str], Path], tmp_path: Path, file: str, line: str
) -> None:
    folder = shutil.copytree(UNITS, tmp_path / "units")
    changed = folder / file
    changed.write_text(changed.read_text().replace("[Service]\n", f"[Service]\n{line}\n"))
    verdict = verified(folder, "gridproof-decide@1.service", verifier=debian_command("systemd-analyze"))
    assert line.partition("=")[0] in verdict


def test_no_unit_is_exposed(debian_command: Callable[[str], Path], tmp_path: Path) -> None:
    """By systemd's own scale, from 0 (nothing is exposed) to 10; up to 2.0 it says OK."""
    verifier, folder = debian_command("systemd-analyze"), shutil.copytree(UNITS, tmp_path / "units")
    outcome = subprocess.run(
        [verifier, "security", "--offline=true", "--threshold=20", "--no-pager", "gridproof-web@1.service"],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "Overall exposure level for gridproof-web@1.service: 1." in outcome.stdout


# ------------------------------------------------------------------------------------------------------- compose


def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def ours() -> dict[str, Any]:
    return {name: one for name, one in services().items() if one["image"].startswith("gridproof:")}


def test_the_compose_file_says_at_its_top_that_nobody_started_it() -> None:
    assert COMPOSE.read_text().startswith("# CHECKED FOR SYNTAX ONLY.")


def test_the_compose_file_runs_every_worker_once() -> None:
    commands = {name: one["command"] for name, one in ours().items()}
    assert all(command[0] in COMMANDS for command in commands.values())
    assert commands.pop("migrate") == ["migrate"]
    assert commands.pop("web") == ["serve"]
    assert commands == {name: ["worker", name] for name in WORKERS if name != "web"}


def test_the_services_of_the_compose_file_have_no_right_that_they_do_not_need() -> None:
    for name, one in ours().items():
        assert one["user"] == "10001:10001", name
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name


def test_the_compose_file_depends_on_services_configs_and_volumes_that_it_has() -> None:
    whole = yaml.safe_load(COMPOSE.read_text())
    for name, one in services().items():
        assert set(one.get("depends_on", {})) <= set(services()), name
        assert {config["source"] for config in one.get("configs", [])} <= set(whole["configs"]), name
        assert {volume.partition(":")[0] for volume in one.get("volumes", [])} <= set(whole["volumes"]), name


def test_only_the_migration_knows_the_owner_of_the_database() -> None:
    owners = {
        name for name, one in ours().items() if "GRIDPROOF_MIGRATION_DATABASE_URL" in one["environment"]
    }
    assert owners == {"migrate"}


def test_the_compose_file_gives_a_worker_the_image_with_its_extra() -> None:
    bare = {name for name, one in ours().items() if one["image"] == "gridproof:base"}
    assert bare == set(ours()) - set(EXTRAS_OF_WORKERS)
    tags = set(re.findall(r"--build-arg EXTRAS=([\w,]+) --tag (\S+)", COMPOSE.read_text()))
    assert {
        (",".join(extras), services()[worker]["image"]) for worker, extras in EXTRAS_OF_WORKERS.items()
    } == tags


# ----------------------------------------------------------------------------------------------------- the image


def test_the_image_runs_as_an_unprivileged_user_and_takes_its_base_as_an_argument() -> None:
    lines = CONTAINERFILE.read_text().splitlines()
    assert "ARG BASE=python:3.13-slim" in lines
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    assert "USER 10001:10001" in lines


def test_a_build_of_the_image_is_given_only_the_wheels_and_the_sbom() -> None:
    lines = [
        line for line in (ROOT / ".containerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert lines == ["*", "!build/wheels", "!build/sbom.json"]
    copied = re.findall(r"^COPY (build/\S+)", CONTAINERFILE.read_text(), re.MULTILINE)
    assert [f"!{path}" for path in copied] == lines[1:]

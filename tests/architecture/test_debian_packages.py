"""A test without its Debian package is skipped on a developer's machine, and fails in CI."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, python_files
from tests.debian_packages import REQUIRE, debian_command_path


def test_the_path_of_an_installed_command_is_returned(tmp_path: Path) -> None:
    command = tmp_path / "influxd"
    command.touch(mode=0o755)
    assert debian_command_path("influxd", {"PATH": str(tmp_path), REQUIRE: "1"}) == command


def test_an_absent_command_skips_with_the_package_to_install(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install influxdb$"):
        debian_command_path("influxd", {"PATH": str(tmp_path)})


def test_an_absent_command_fails_where_packages_are_required(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="absent-command is absent"):
        debian_command_path("absent-command", {"PATH": str(tmp_path), REQUIRE: "1"})


def test_ci_installs_and_requires_the_packages_of_the_tests() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert f"export {REQUIRE}=1" in script
    installed = set(re.findall(r"\[([\w-]+)\]=[\w-]+", script))
    asked = {
        command
        for file in python_files("tests")
        if file.name not in ("conftest.py", Path(__file__).name)
        for command in re.findall(r"""debian_command\(["']([\w-]+)["']\)""", file.read_text())
    }
    assert asked <= installed
    prometheus = {"promtool", "prometheus", "prometheus-alertmanager", "amtool"}
    hosts = {"etcd", "nft", "ip"}
    first_hour = {"mosquitto_pub", "curl", "openssl"}
    others = {"mosquitto", "influxd", "redis-server", "pg_lsclusters", "chromium", "systemd-analyze"}
    assert others | hosts | prometheus | first_hour == installed

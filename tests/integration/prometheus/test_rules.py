"""promtool and amtool on our files: they are valid, and each rule is raised and ends."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.architecture.prometheus_rules import FILE, cases
from tests.patience import START_S

DebianCommand = Callable[[str], Path]


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=START_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_files_are_valid(debian_command: DebianCommand) -> None:
    promtool = debian_command("promtool")
    assert "SUCCESS" in run(promtool, "check", "rules", FILE)
    assert "SUCCESS" in run(promtool, "check", "config", FILE.with_name("prometheus.yml"))
    assert "SUCCESS" in run(debian_command("amtool"), "check-config", FILE.with_name("alertmanager.yml"))


def test_each_rule_is_raised_and_ends(debian_command: DebianCommand, tmp_path: Path) -> None:
    file = tmp_path / "gridproof.test.yml"
    file.write_text(yaml.safe_dump(cases()))
    assert "SUCCESS" in run(debian_command("promtool"), "test", "rules", file)

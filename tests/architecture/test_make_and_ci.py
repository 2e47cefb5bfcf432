"""The commands of the project: `make ...` and `.ci/run`."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.patience import START_S


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` as from a shell, also if make started these tests."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=outside,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@pytest.mark.parametrize(
    "target",
    [
        "demo",
        "up",
        "test",
        "again",
        "check",
        "lock",
        "chaos",
        "hosts",
        "charts",
        "gameday",
        "upgrades",
        "fault-storm",
        "clean",
    ],
)
def test_make_has_the_target(target: str) -> None:
    outcome = make("--dry-run", target)
    assert outcome.returncode == 0, outcome.stderr


def test_make_test_distributes_tests_to_processes_by_file() -> None:
    """Distributed test by test, a module's servers would be started, and killed, in several processes."""
    assert "-n 3 --dist loadfile" in make("--dry-run", "test", "BESIDE=3").stdout


@pytest.mark.parametrize("minor", [10, 14])
def test_an_unsupported_python_is_refused_with_a_hint(tmp_path: Path, minor: int) -> None:
    unsupported = tmp_path / "python"
    unsupported.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *print*) echo 3.{minor};; *sys.exit*) exit 1;; *) echo "a venv was made" >&2; exit 9;; esac\n'
    )
    unsupported.chmod(0o755)
    outcome = make("up", f"PYTHON={unsupported}")
    assert outcome.returncode != 0
    assert f"Gridproof needs Python 3.11, 3.12 or 3.13; {unsupported} is 3.{minor}" in outcome.stderr
    assert "a venv was made" not in outcome.stderr


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_scripts_of_ci_are_valid_bash_and_executable(name: str) -> None:
    script = ROOT / ".ci" / name
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True, timeout=START_S)
    assert "set -euo pipefail" in script.read_text()

"""The wheel contains everything that the packages read at run time."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from application.operations.release import RELEASE
from tests.architecture.source_tree import PACKAGES, ROOT
from tests.patience import START_S


def test_the_wheel_ships_every_file_of_the_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=START_S)
    (wheel,) = tmp_path.glob("gridproof-*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    needed = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert any(name.endswith(".sql") for name in needed)
    assert needed - shipped == set()
    assert {
        f"interfaces/web/runbooks/{file.name}" for file in (ROOT / "docs/runbooks").glob("*.md")
    } <= shipped
    assert not any(name.startswith(("tests/", "docs/")) for name in shipped)


def test_the_release_of_the_code_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == RELEASE

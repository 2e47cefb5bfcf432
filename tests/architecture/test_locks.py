"""The lock files: every version is pinned with hashes, and nothing in them depends on one machine or index."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.source_tree import (
    PACKAGES,
    ROOT,
    committed_texts,
    imported_modules,
    parsed,
    python_files,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_THE_PRODUCT = [
    requirement
    for extra in ("embedded", "forecasting", "files")
    for requirement in PROJECT["optional-dependencies"][extra]
]
EVERY_EXTRA = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
LOCKS = {"requirements.lock": 50, "requirements-dev.lock": 100, "tests/hosts/requirements.lock": 10}
"""Lock -> fewer entries than it has."""
# In two pieces, so that this file does not name them either.
REGISTRY_HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org"]


def pinned(lock: str) -> dict[str, str]:
    """Distribution -> exact version."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", (ROOT / lock).read_text(), re.MULTILINE)
    return {_normal(name): version for name, version in found}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_everything_with_hashes(lock: str) -> None:
    entries = [line for line in (ROOT / lock).read_text().splitlines() if line and line[0] not in " #"]
    assert len(entries) == len(pinned(lock)) > LOCKS[lock]
    blocks = re.split(r"^(?=[A-Za-z])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_folder(lock: str) -> None:
    assert (
        re.findall(
            r"://|--(?:extra-)?index-url|--find-links|--trusted-host|(?<![\w.])/\w+", _code(ROOT / lock)
        )
        == []
    )


def _code(lock: Path) -> str:
    return lock.read_text().replace("-r requirements", "")


def test_the_two_locks_agree() -> None:
    tools = pinned("requirements-dev.lock")
    assert {
        name: version for name, version in pinned("requirements.lock").items() if tools.get(name) != version
    } == {}


def _names(requirements: list[str]) -> set[str]:
    return {_normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def test_every_dependency_is_locked() -> None:
    extras = PROJECT["optional-dependencies"]
    assert _names(PROJECT["dependencies"] + extras["build"]) - pinned("requirements.lock").keys() == set()
    assert _names(extras["dev"]) - pinned("requirements-dev.lock").keys() == set()


@pytest.mark.parametrize(
    ("folders", "declared"),
    [
        (PACKAGES, [*PROJECT["dependencies"], *OF_THE_PRODUCT]),
        (("tests",), [*PROJECT["dependencies"], *EVERY_EXTRA]),
    ],
    ids=["packages", "tests"],
)
def test_every_imported_package_is_declared(folders: tuple[str, ...], declared: list[str]) -> None:
    """An import must not rely on a dependency of another package, which may drop it."""
    ours = {*PACKAGES, "tests", *sys.stdlib_module_names}
    roots = {
        module.partition(".")[0]
        for file in python_files(*folders)
        for _, module in imported_modules(parsed(file))
        if module.partition(".")[0] not in ours
    }
    providers = packages_distributions()
    provided = {root: {_normal(name) for name in providers.get(root, [])} for root in roots}
    assert {root: by for root, by in provided.items() if not by & _names(declared)} == {}


def test_no_file_names_a_package_registry() -> None:
    found = [
        str(file.relative_to(ROOT))
        for file in committed_texts()
        if any(host in file.read_text(errors="replace") for host in REGISTRY_HOSTS)
    ]
    assert found == []

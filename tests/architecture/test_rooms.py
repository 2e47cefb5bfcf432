"""Limits on the size of folders and modules, and names in common technical words."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, imported_modules, parsed, python_files

MOST_ENTRIES = 24
NOT_COUNTED = {"adapters/postgres/migrations", "interfaces/web/static"}
SMALL_LINES = 60

IDIOM = {
    *("known", "told", "found", "remembered", "kept", "asked", "news", "road", "lane", "desk", "shelf"),
    *("fate", "wish", "story", "alone", "aside"),
}
IDIOM_IN_CODE = IDIOM | {f"{word}s" for word in IDIOM} | {"stories", "wishes"}
USUAL = re.compile(r"NotFound(Error)?$")

WHOLE_IDEAS = {
    "adapters/bms/setpoints.py": "the setpoint contract over SOAP",
    "adapters/embedded/ingest_session.py": "the drawn client id of ingest",
    "adapters/embedded/migration_record.py": "by which migrations a folder's database was made",
    "adapters/postgres/read_model/rebuild/plan_barrier.py": "wait for query plans older than a partition",
    "adapters/postgres/read_model/rebuild/verify.py": "compare live rows with a fresh fold",
    "adapters/postgres/telemetry/rollups/finalize.py": "finalize dirty quarter-hours",
    "application/command_bus/prefetch.py": "load what a batch of commands needs at once",
    "application/handlers/measurement.py": "handlers of one capability",
    "application/handlers/program.py": "handlers of one capability",
    "application/history_import/dst_hours.py": "energy around a clock change",
    "application/ledger/map_verification.py": "the map of streams against the log",
    "application/telemetry/ingest/slow_period.py": "detect a slow period",
    "interfaces/bootstrap/doctor/alerts.py": "one check of the doctor",
    "interfaces/bootstrap/doctor/open_work.py": "one check of the doctor",
    "interfaces/bootstrap/doctor/portfolio.py": "the checks of what the portfolio refers to",
    "interfaces/bootstrap/doctor/raw_archive.py": "one check of the doctor",
    "interfaces/settings/tls.py": "the parameters of TLS in addresses",
    "interfaces/cli/facilities/file_check.py": "the check of a portfolio file before its import",
    "interfaces/cli/facilities/file_format.py": "the commands about the portfolio file itself",
    "interfaces/bootstrap/doctor/signatures.py": "one check of the doctor",
    "interfaces/bootstrap/doctor/weather.py": "one check of the doctor",
    "interfaces/cli/audit/conclusion.py": "what a file proves, and what it does not",
    "interfaces/cli/audit/subjects.py": "print a facility's or a program's replay",
    "interfaces/cli/settlement/show.py": "one command",
    "interfaces/simulators/bms/responses.py": "how a simulated BMS ends an exchange",
    "interfaces/web/api/webhook/callback_address.py": "the check of a callback address by its text",
    "interfaces/web/broadcast/unlogged_state.py": "state of the live feed outside the log",
    "interfaces/web/openapi/schema_names.py": "names of schemas without those of modules",
    "interfaces/web/openapi/examples.py": "examples of the OpenAPI document",
    "interfaces/workers/aggregate/maintenance.py": "partitions of the coming days",
    "interfaces/workers/aggregate/poison_batches.py": "park what the store refuses",
    "interfaces/workers/dispatch/breaker_alerts.py": "an alert for each open breaker of a building",
    "projections/audit/differences.py": "what differs between two values, in words",
    "interfaces/bootstrap/doctor/meters.py": "one check of the doctor",
    "interfaces/bootstrap/doctor/telemetry_log.py": "the doctor's look at the size of the telemetry log",
}
"""Small modules with one importer in the same folder that stay separate, each with its idea."""


def entries(folder: Path) -> int:
    """Python files and sub-packages, `__init__.py` not counted."""
    files = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
    return len(files) + len([below for below in folder.iterdir() if (below / "__init__.py").exists()])


def test_no_folder_of_the_packages_has_too_many_entries() -> None:
    folders = {file.parent for file in python_files(*PACKAGES)}
    names = {str(folder.relative_to(ROOT)): entries(folder) for folder in folders}
    assert {name: n for name, n in names.items() if n > MOST_ENTRIES and name not in NOT_COUNTED} == {}


def words_of(name: str) -> set[str]:
    """`_SharedReads` -> {"shared", "reads"}, `is_told_of` -> {"is", "told", "of"}."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)}


def is_idiom(name: str) -> bool:
    return bool(words_of(name) & IDIOM_IN_CODE) and not USUAL.search(name)


@pytest.mark.parametrize(
    "name", ["known_pages", "_Told", "is_told_of", "Roads", "lane_of", "StoryLog", "remembered", "_news"]
)
def test_a_name_of_private_idiom_is_refused(name: str) -> None:
    assert is_idiom(name)


@pytest.mark.parametrize("name", ["StreamNotFound", "founder", "planes", "newsletter", "unknown_topic"])
def test_a_usual_name_is_accepted(name: str) -> None:
    assert not is_idiom(name)


def definitions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def test_files_classes_and_functions_have_no_name_of_private_idiom() -> None:
    refused: dict[str, list[str]] = defaultdict(list)
    for file in python_files(*PACKAGES, "tests"):
        place = file.relative_to(ROOT)
        refused[str(place)] += [part for part in place.with_suffix("").parts if is_idiom(part)]
        refused[str(place)] += [name for name in definitions(parsed(file)) if is_idiom(name)]
    assert {place: names for place, names in refused.items() if names} == {}


def test_no_class_name_is_defined_in_more_than_two_files() -> None:
    """Except domain events and each aggregate's base `Event`."""
    files = defaultdict(set)
    for file in python_files(*PACKAGES):
        for node in parsed(file).body:
            if isinstance(node, ast.ClassDef) and node.name != "Event":
                files[node.name].add(str(file.relative_to(ROOT)))
    assert {name: sorted(places) for name, places in files.items() if len(places) > 2} == {}


def importers() -> dict[Path, set[Path]]:
    """Each module of the packages -> the files that import it."""
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for file in python_files(*PACKAGES)
        if file.name != "__init__.py"
    }
    found: dict[Path, set[Path]] = {file: set() for file in modules.values()}
    for file in python_files(*PACKAGES):
        for _, module in imported_modules(parsed(file)):
            if module in modules:
                found[modules[module]].add(file)
    return found


def small_modules() -> Iterator[str]:
    """Modules under 60 lines with one importer, which is in the same folder."""
    for module, by in importers().items():
        lines = len(module.read_text().splitlines())
        if lines < SMALL_LINES and len(by) == 1 and next(iter(by)).parent == module.parent:
            yield str(module.relative_to(ROOT))


def test_a_small_module_with_one_importer_in_its_folder_has_a_stated_idea() -> None:
    """Otherwise merge it into its importer; split a file only where each part has its own noun."""
    assert sorted(small_modules()) == sorted(WHOLE_IDEAS)


def test_the_entries_of_a_folder_are_counted(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    for name in ("__init__.py", "a.py", "b.py", "room/__init__.py", "notes.md"):
        (tmp_path / name).touch()
    assert entries(tmp_path) == 3

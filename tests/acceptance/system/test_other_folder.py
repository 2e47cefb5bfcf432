"""A data folder whose database other migrations made is refused by `gridproof up`, before anything in it changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from adapters.postgres.schema import migrate as migrations
from interfaces.settings.settings import Settings
from interfaces.system.running_system import RunningSystem
from tests.acceptance.system.test_up import ROOT, environ_for
from tests.patience import START_S

OURS = migrations.migration_files()
OTHERS = [*OURS[:23], (OURS[23][0], f"{OURS[23][1]}\n-- another thought"), *OURS[24:]]
PREFIX = OURS[:30]

Content = dict[str, tuple[int, int, str]]


def content_of(folder: Path) -> Content:
    """Path -> mode, time of the last change, and digest, of every file and folder."""
    found = {}
    for entry in (folder, *sorted(folder.rglob("*"))):
        about = entry.lstat()
        digest = sha256(entry.read_bytes()).hexdigest() if entry.is_file() else ""
        found[str(entry.relative_to(folder))] = (about.st_mode, about.st_mtime_ns, digest)
    return found


@pytest.fixture
def made_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[str, str]]], Path]:
    """A data folder that a version with these migrations made, or opened again, and ended with."""

    def made(files: list[tuple[str, str]]) -> Path:
        folder = tmp_path / "data"
        with monkeypatch.context() as patched:
            patched.setattr(migrations, "migration_files", lambda: files)
            with RunningSystem(Settings(data_dir=folder, http_bind="127.0.0.1:0")) as system:
                system.start_servers()
        return folder

    return made


def up(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "up"],
        cwd=ROOT,
        env=environ_for(folder, 0) | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def test_a_folder_of_other_migrations_is_refused_untouched_and_works_with_its_own_version(
    made_by: Callable[[list[tuple[str, str]]], Path],
) -> None:
    folder = made_by(OTHERS)
    before = content_of(folder)
    refused = up(folder)
    assert refused.returncode == 1, refused.stderr
    assert f"its migration {OTHERS[23][0]} is not that of this version" in refused.stderr
    assert (
        "Run the version of Gridproof that made it, or begin anew with an empty data folder" in refused.stderr
    )
    assert content_of(folder) == before
    made_by(OTHERS)


def test_a_folder_that_names_no_migrations_is_refused_untouched(
    made_by: Callable[[list[tuple[str, str]]], Path],
) -> None:
    folder = made_by(OURS)
    (folder / "migrations.json").unlink()
    before = content_of(folder)
    refused = up(folder)
    assert (refused.returncode, "nothing says by which migrations" in refused.stderr) == (1, True)
    assert content_of(folder) == before


def test_a_folder_of_an_earlier_version_is_upgraded_and_then_also_served_by_it(
    made_by: Callable[[list[tuple[str, str]]], Path],
) -> None:
    """What the earlier one does not know was applied after all that it has."""
    folder = made_by(PREFIX)
    earlier = (folder / "migrations.json").read_bytes()
    made_by(OURS)
    present = (folder / "migrations.json").read_bytes()
    assert len(present) > len(earlier)
    made_by(PREFIX)
    assert (folder / "migrations.json").read_bytes() == present
    assert (folder / "migrations.json").stat().st_mode & 0o077 == 0

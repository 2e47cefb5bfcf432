"""Installations side by side: this tree, and older releases in worktrees with environments of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "upgrades"
RELEASE_0_1 = "4cd57d2e8a376085c4aab9303ac147d2af9e7bc6"
"""The last release while no tag exists. CHANGELOG.md has no released version yet: this is the last commit before the
topics, tables and settings that 0.2 adds, and `release_4cd57d2` holds its data."""
INSTALLED_WITHIN_S = 1_200


@dataclass(frozen=True)
class Installation:
    """A source folder, and the interpreter of its environment."""

    name: str
    folder: Path
    python: Path

    def command(self, *arguments: object) -> list[str]:
        """`gridproof ARGUMENTS`."""
        return [str(self.python), "-u", "-m", "interfaces.cli", *map(str, arguments)]


THIS_TREE = Installation("this tree", ROOT, Path(sys.executable))


def last_release(repository: Path = ROOT) -> str:
    """The newest tag before HEAD; without tags RELEASE_0_1."""
    wanted = ("tag", "--list", "v*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-version:refname")
    tags = _git(repository, *wanted).split()
    return tags[0] if tags else RELEASE_0_1


def installed(commit: str) -> Installation:
    """That commit in a worktree below build/, with an environment made from its own lock. It is kept for the next run;
    `git worktree prune` forgets those of a build folder that was deleted. Skips where the history ends before it."""
    require_commit(ROOT, commit)
    folder = FOLDER / commit[:7]
    if not (folder / "Makefile").exists():
        _git(ROOT, "worktree", "prune")
        _git(ROOT, "worktree", "add", "--detach", str(folder), commit)
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }
    made = subprocess.run(
        ["make", "-C", str(folder), ".venv/.runs"],
        env=outside,
        capture_output=True,
        text=True,
        timeout=INSTALLED_WITHIN_S,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return Installation(commit[:7], folder, folder / ".venv" / "bin" / "python")


def require_commit(repository: Path, commit: str) -> None:
    """Skip the test where the checkout does not have the commit."""
    try:
        _git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            f"no commit {commit[:7]} here (no git, no history, or a shallow clone): `git fetch --unshallow` brings it"
        )


def _git(repository: Path, *arguments: str) -> str:
    command: Sequence[str] = ("git", "-C", str(repository), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

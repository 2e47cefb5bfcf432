"""Which release counts as the last one, and what happens in a checkout without its history."""

import subprocess
from pathlib import Path

import pytest

from tests.upgrades.releases import RELEASE_0_1, last_release, require_commit


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "tag.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    return tmp_path


def test_without_a_tag_it_is_the_commit_of_0_1(repository: Path) -> None:
    assert last_release(repository) == RELEASE_0_1


def test_the_newest_tag_before_the_present_commit_is_the_last_release(repository: Path) -> None:
    for tag in ("v0.9", "v0.10", "nightly"):
        git(repository, "tag", tag)
        git(repository, "commit", "--allow-empty", "-m", f"after {tag}")
    git(repository, "tag", "v0.11")
    assert last_release(repository) == "v0.10"


def test_a_checkout_without_the_commit_skips_with_the_reason(repository: Path, tmp_path: Path) -> None:
    for folder in (repository, tmp_path / "absent"):
        with pytest.raises(pytest.skip.Exception, match=r"no commit 4cd57d2 here .*git fetch --unshallow"):
            require_commit(folder, RELEASE_0_1)

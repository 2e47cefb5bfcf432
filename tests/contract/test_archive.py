"""What every archive does."""

from pathlib import Path

import pytest

from adapters.archive import ObjectArchive
from application.ports.archive import AlreadyArchived, Archive, ArchiveUnavailable, NotArchived
from tests.fakes.archive import FakeArchive


@pytest.fixture(params=["fake", "folder"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    if request.param == "fake":
        return FakeArchive()
    return ObjectArchive(f"file://{tmp_path}/with%20space/archive")


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"x" * 3_000_000])
def test_a_file_comes_back_as_it_was_put(archive: Archive, content: bytes) -> None:
    archive.put_once("ledger/tiles/0001", content)
    assert archive.get("ledger/tiles/0001") == content


def test_a_file_is_never_written_twice(archive: Archive) -> None:
    archive.put_once("ledger/0001", b"first")
    for content in (b"second", b"first"):
        with pytest.raises(AlreadyArchived, match="ledger/0001"):
            archive.put_once("ledger/0001", content)
    assert archive.get("ledger/0001") == b"first"


def test_what_was_never_put_is_not_there(archive: Archive) -> None:
    archive.put_once("ledger/0001", b"first")
    for name in ("ledger/0002", "other/0001"):
        with pytest.raises(NotArchived, match=name):
            archive.get(name)


def test_a_folder_is_listed_with_all_below_it_in_order(archive: Archive) -> None:
    for name in ("ledger/b", "ledger/a/2", "ledger/a/10", "ledgers/c", "other"):
        archive.put_once(name, b"x")
    assert archive.listed("ledger/") == archive.listed("ledger") == ["ledger/a/10", "ledger/a/2", "ledger/b"]
    assert archive.listed("nothing") == []


def test_a_folder_that_cannot_be_made_is_said_to_be_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchiveUnavailable, match="GRIDPROOF_ARCHIVE_URL"):
        ObjectArchive(f"file://{tmp_path}/file/archive").put_once("a", b"")


def test_another_process_finds_what_one_has_put(tmp_path: Path) -> None:
    ObjectArchive(f"file://{tmp_path}").put_once("ledger/1", b"kept")
    assert ObjectArchive(f"file://{tmp_path}").get("ledger/1") == b"kept"
    with pytest.raises(AlreadyArchived):
        ObjectArchive(f"file://{tmp_path}").put_once("ledger/1", b"other")

"""The contract of Archive: in memory, in a folder, and in S3."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest

from adapters.archive import ObjectArchive, S3Access
from application.ports.archive import AlreadyArchived, Archive, ArchiveUnavailable, NotArchived
from tests.fakes.archive import FakeArchive
from tests.patience import ANSWER_S
from tests.s3_server import S3Server, running_s3

RACERS = 8


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        server.make_bucket("archive")
        yield server


@pytest.fixture(params=["fake", "folder", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    if request.param == "fake":
        return FakeArchive()
    if request.param == "folder":
        return ObjectArchive(f"file://{tmp_path}/with%20space/archive")
    s3: S3Server = request.getfixturevalue("s3")
    return s3.archive("archive", f"of/{uuid4()}")


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"x" * 3_000_000])
def test_a_file_is_read_back_unchanged(archive: Archive, content: bytes) -> None:
    archive.put_once("ledger/tiles/0001", content)
    assert archive.get("ledger/tiles/0001") == content


def test_a_file_is_never_written_twice(archive: Archive) -> None:
    archive.put_once("ledger/0001", b"first")
    for content in (b"second", b"first"):
        with pytest.raises(AlreadyArchived, match="ledger/0001"):
            archive.put_once("ledger/0001", content)
    assert archive.get("ledger/0001") == b"first"


def test_exactly_one_of_several_concurrent_puts_of_a_file_succeeds(archive: Archive) -> None:
    for number in range(5):
        name, start = f"ledger/checkpoints/{number}", Barrier(RACERS)

        def put(racer: int, name: str = name, start: Barrier = start) -> bytes | None:
            content = f"of {racer}".encode()
            start.wait(ANSWER_S)
            try:
                archive.put_once(name, content)
            except AlreadyArchived:
                return None
            return content

        with ThreadPoolExecutor(RACERS) as threads:
            put_by = [content for content in threads.map(put, range(RACERS)) if content is not None]
        assert put_by == [archive.get(name)]


def test_a_file_that_was_never_put_is_absent(archive: Archive) -> None:
    archive.put_once("ledger/0001", b"first")
    for name in ("ledger/0002", "other/0001"):
        with pytest.raises(NotArchived, match=name):
            archive.get(name)


def test_a_folder_is_listed_recursively_in_order(archive: Archive) -> None:
    for name in ("ledger/b", "ledger/a/2", "ledger/a/10", "ledgers/c", "other"):
        archive.put_once(name, b"x")
    assert archive.listed("ledger/") == archive.listed("ledger") == ["ledger/a/10", "ledger/a/2", "ledger/b"]
    assert archive.listed("nothing") == []


def test_a_folder_that_cannot_be_created_is_reported_as_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchiveUnavailable, match="GRIDPROOF_ARCHIVE_URL"):
        ObjectArchive(f"file://{tmp_path}/file/archive").put_once("a", b"")


def test_a_file_is_visible_to_another_process(tmp_path: Path) -> None:
    ObjectArchive(f"file://{tmp_path}").put_once("ledger/1", b"kept")
    assert ObjectArchive(f"file://{tmp_path}").get("ledger/1") == b"kept"
    with pytest.raises(AlreadyArchived):
        ObjectArchive(f"file://{tmp_path}").put_once("ledger/1", b"other")


def test_a_missing_bucket_and_a_stopped_server_are_reported_as_unavailable(
    s3: S3Server,
) -> None:
    away = S3Access(endpoint="http://127.0.0.1:1", region="us-east-1", key_id="test", secret="none")
    for absent in (s3.archive("nobodys-bucket"), ObjectArchive("s3://archive", away)):
        with pytest.raises(ArchiveUnavailable, match="GRIDPROOF_ARCHIVE_URL"):
            absent.put_once("a", b"")


def test_the_secret_of_a_bucket_is_never_shown() -> None:
    assert "hunter2" not in repr(S3Access(key_id="AKIA0", secret="hunter2"))

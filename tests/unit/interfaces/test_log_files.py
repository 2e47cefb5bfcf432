"""Log files are rotated by day and size, kept for their days, bounded together, and archived where that is set."""

import gzip
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from application.ports.archive import ArchiveUnavailable
from interfaces import log_files
from interfaces.bootstrap.doctor.disk import check_log_files
from interfaces.log_files import ARCHIVED, LogFiles, LogRetention, rotate, rotated_logs
from interfaces.settings.settings import Settings
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock

T0 = datetime(2026, 11, 28, 23, 59, tzinfo=UTC)
MOST = 100_000


class UnsteadyArchive(FakeArchive):
    is_down = False

    def put_once(self, name: str, content: bytes) -> None:
        if self.is_down:
            raise ArchiveUnavailable("the bucket is away")
        super().put_once(name, content)


class Logs:
    """A folder of log files, and the clock of its machine."""

    def __init__(self, folder: Path, *, archive: FakeArchive | None = None, most_bytes: int = MOST) -> None:
        self.folder = folder
        self.clock = FakeClock(T0)
        self.archive = archive
        retention = LogRetention(
            days=30, most_bytes=most_bytes, is_archived=archive is not None, largest_bytes=1_000
        )
        self.files = LogFiles(folder, retention, self.clock.now, archive)

    def write(self, name: str, text: str) -> None:
        path = self.folder / f"{name}.log"
        with path.open("a") as log:
            log.write(text)
        os.utime(path, (self.clock.now().timestamp(),) * 2)

    def round(self, **later: float) -> None:
        self.clock.advance(**later)
        self.files.round()

    def rotated(self) -> list[str]:
        return [gzip.decompress(one.path.read_bytes()).decode() for one in rotated_logs(self.folder)]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def test_a_file_is_rotated_when_its_day_is_over(logs: Logs) -> None:
    logs.write("web", "of the 28th\n")
    logs.round(seconds=30)
    assert logs.rotated() == []
    logs.round(seconds=60)
    assert logs.rotated() == ["of the 28th\n"]
    assert (logs.folder / "web.log").read_bytes() == b""
    logs.write("web", "of the 29th\n")
    logs.round(hours=23)
    assert len(logs.rotated()) == 1
    logs.round(hours=2)
    assert logs.rotated() == ["of the 28th\n", "of the 29th\n"]


def test_a_file_of_an_earlier_day_is_rotated_after_a_restart(logs: Logs) -> None:
    logs.write("web", "of the 28th\n")
    logs.clock.advance(days=3)
    Logs.round(logs)
    assert logs.rotated() == ["of the 28th\n"]


def test_a_file_is_rotated_when_it_is_large(logs: Logs) -> None:
    for part in ("a", "b", "c"):  # more than once within a second
        logs.write("relay", part * 1_001)
        logs.round()
    assert logs.rotated() == ["a" * 1_001, "b" * 1_001, "c" * 1_001]
    assert [one.process for one in rotated_logs(logs.folder)] == ["relay"] * 3


def test_an_empty_file_is_not_rotated(logs: Logs) -> None:
    logs.write("web", "")
    logs.round(days=2)
    assert logs.rotated() == []


def test_the_first_line_after_days_without_one_stays_until_its_day_is_over(logs: Logs) -> None:
    logs.write("web", "of the 28th\n")
    logs.round(minutes=2)
    logs.round(days=3)
    logs.write("web", "of today\n")
    logs.round(seconds=1)
    assert logs.rotated() == ["of the 28th\n"]
    logs.round(days=1)
    assert logs.rotated() == ["of the 28th\n", "of today\n"]


def test_lines_that_are_written_during_a_rotation_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, target = tmp_path / "web.log", tmp_path / "web.20261129T000000Z.log.gz"
    log.write_text("before\n")
    replace = Path.replace

    def written_meanwhile(partial: Path, to: Path) -> Path:
        with log.open("a") as writer:
            writer.write("meanwhile\n")
        return replace(partial, to)

    monkeypatch.setattr(Path, "replace", written_meanwhile)
    rotate(log, target)
    assert gzip.decompress(target.read_bytes()) == b"before\nmeanwhile\n"
    assert log.read_bytes() == b""


def test_a_full_disk_gets_no_copy_of_a_log_that_cannot_be_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, target = tmp_path / "web.log", tmp_path / "web.20261129T000000Z.log.gz"
    log.write_text("before\n")
    replace = Path.replace

    def written_meanwhile(partial: Path, to: Path) -> Path:
        with log.open("a") as writer:
            writer.write("meanwhile\n")
        return replace(partial, to)

    def full(*_: object, **__: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", written_meanwhile)
    monkeypatch.setattr(gzip, "compress", full)
    with pytest.raises(OSError, match="No space"):
        rotate(log, target)
    assert log.read_text() == "before\nmeanwhile\n"
    assert not target.exists()


def test_a_rotation_that_fails_is_tried_again_after_a_minute(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full(path: Path, target: Path) -> None:
        tries.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_files, "rotate", full)
    logs.write("web", "a" * 1_001)
    for _ in range(5):
        logs.round(seconds=1)
    assert len(tries) == 1
    logs.round(minutes=1)
    assert len(tries) == 2
    logs.clock.advance(hours=-2)
    logs.files.round()
    assert len(tries) == 3


def test_rotated_files_are_removed_after_their_days(logs: Logs) -> None:
    logs.write("web", "old\n")
    logs.round(minutes=2)
    logs.round(days=29)
    assert logs.rotated() == ["old\n"]
    logs.round(days=2)
    assert logs.rotated() == []


def test_all_files_together_are_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    logs = Logs(tmp_path, most_bytes=2_500)
    newest = ""
    for number in range(4):
        logs.write("web", os.urandom(600).hex())
        logs.round(minutes=2)
        newest = rotated_logs(tmp_path)[-1].path.name
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.log*")) <= 2_500, number
    assert newest == rotated_logs(tmp_path)[-1].path.name
    assert 1 < len(logs.rotated()) < 4


def test_the_archive_gets_each_rotated_file_once(tmp_path: Path) -> None:
    archive = UnsteadyArchive()
    logs = Logs(tmp_path, archive=archive)
    logs.write("web", "kept for the auditor\n")
    archive.is_down = True
    logs.round(minutes=2)
    logs.round(days=60)
    assert logs.rotated() == ["kept for the auditor\n"], "kept until the archive has it"
    archive.is_down = False
    logs.round(minutes=2)
    ((name, content),) = archive.files.items()
    assert name.startswith("logs/2026-11-29/")
    assert "/web.20261129T000100Z." in name
    assert gzip.decompress(content) == b"kept for the auditor\n"
    assert logs.rotated() == []
    logs.round(minutes=2)
    assert len(archive.files) == 1


def test_one_file_a_round_is_archived_so_that_rotation_does_not_wait_for_many(tmp_path: Path) -> None:
    archive = UnsteadyArchive()
    logs = Logs(tmp_path, archive=archive)
    archive.is_down = True
    for part in ("a", "b", "c"):
        logs.write("web", part * 1_001)
        logs.round()
    archive.is_down = False
    logs.round(minutes=1)
    assert len(archive.files) == 1
    logs.round(seconds=1)
    logs.round(seconds=1)
    assert len(archive.files) == 3


def test_the_bound_holds_although_archiving_fails(tmp_path: Path) -> None:
    class Broken(FakeArchive):
        def put_once(self, name: str, content: bytes) -> None:
            raise OSError(28, "No space left on device")

    logs = Logs(tmp_path, archive=Broken(), most_bytes=1_500)
    for _ in range(4):
        logs.write("web", os.urandom(600).hex())
        with pytest.raises(OSError, match="No space"):
            logs.round(minutes=2)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.log*")) <= 1_500


def test_a_file_is_archived_again_after_a_kill_before_it_was_noted(tmp_path: Path) -> None:
    logs = Logs(tmp_path, archive=UnsteadyArchive())
    logs.write("web", "once\n")
    logs.round(minutes=2)
    (archived,) = (tmp_path / ARCHIVED).iterdir()
    archived.rename(tmp_path / archived.name)
    logs.round(minutes=2)
    assert (tmp_path / ARCHIVED / archived.name).exists()
    assert logs.archive is not None
    assert len(logs.archive.files) == 1


def test_the_bound_takes_what_the_archive_has_first(tmp_path: Path) -> None:
    archive = UnsteadyArchive()
    logs = Logs(tmp_path, archive=archive, most_bytes=1_500)
    logs.write("web", os.urandom(600).hex())
    logs.round(minutes=2)
    archive.is_down = True
    logs.write("web", os.urandom(600).hex())
    logs.round(minutes=2)
    assert [one.is_archived for one in rotated_logs(tmp_path)] == [True, False]
    logs.write("web", os.urandom(600).hex())
    logs.round(minutes=2)
    assert not any(one.is_archived for one in rotated_logs(tmp_path))


def test_the_doctor_reports_files_that_wait_for_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "web.20200101T000000Z.log.gz").write_bytes(b"12345")
    settings = Settings(data_dir=tmp_path)
    assert check_log_files(settings).state == "ok"
    assert check_log_files(settings).facts == {"bytes": 5, "rotated": 1}
    late = check_log_files(replace(settings, log_archive=True))
    assert (late.state, late.detail.partition(";")[0]) == (
        "wrong",
        "1 wait for the archive, since 2020-01-01",
    )
    (folder / ARCHIVED).mkdir()
    (folder / "web.20200101T000000Z.log.gz").rename(folder / ARCHIVED / "web.20200101T000000Z.log.gz")
    assert check_log_files(replace(settings, log_archive=True)).state == "ok"
    assert check_log_files(replace(settings, data_dir=tmp_path / "none")).state == "not set"


def test_a_rotation_that_was_interrupted_leaves_nothing(logs: Logs) -> None:
    (logs.folder / "web.20261129T000000Z.log.gz.partial").write_bytes(b"half")
    logs.round()
    assert list(logs.folder.iterdir()) == []

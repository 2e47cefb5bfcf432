"""Export of audit steps: every format has the same content, and only complete files appear."""

import csv
import errno
import os
import resource
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
from pyarrow import parquet

from interfaces.cli.audit import step_files
from interfaces.cli.audit.step_files import COLUMNS, export_steps
from interfaces.cli.console.atomic_files import FileAlreadyExists, FileNotWritten
from projections.audit.steps import AuditTrailRow
from projections.queries.views import all_rows
from tests.fakes.read_models import FakeReadModels
from tests.property.projections.projected_logs import PortfolioWalk

FORMATS = ["jsonl", "csv", "parquet"]


@pytest.fixture(scope="module")
def steps() -> list[AuditTrailRow]:
    walk = PortfolioWalk()
    walk.happy()
    return list(all_rows(FakeReadModels(walk.entries).audit_trail))


def test_every_format_has_every_step(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_files, "BATCH", 7)
    count, files = export_steps(iter(steps), ["jsonl", "csv", "parquet"], tmp_path / "export")
    assert count == len(steps) > 20
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == sorted(
        path.name for path in files
    )
    lines, table, columns = files
    assert [
        msgspec.json.decode(line, type=AuditTrailRow) for line in lines.read_bytes().splitlines()
    ] == steps

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["position"] for row in rows] == [str(step.position) for step in steps]
    assert [datetime.fromisoformat(row["recorded_at"]) for row in rows] == [
        step.recorded_at for step in steps
    ]
    assert [row["what"] for row in rows] == [step.what for step in steps]
    assert {row["facility_id"] for row in rows} == {step.facility_id or "" for step in steps}

    stored = parquet.read_table(columns).to_pylist()
    assert list(stored[0]) == list(COLUMNS)
    assert [row["recorded_at"] for row in stored] == [step.recorded_at for step in steps]
    assert [(row["cause_position"], row["causation_id"]) for row in stored] == [
        (step.caused_by.position, str(step.caused_by.causation_id)) for step in steps
    ]


def test_an_existing_file_is_not_overwritten(steps: list[AuditTrailRow], tmp_path: Path) -> None:
    (tmp_path / "audit-steps.csv").write_text("an earlier one")
    with pytest.raises(FileAlreadyExists, match="another folder"):
        export_steps(steps, ["jsonl", "csv"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["audit-steps.csv"]
    assert (tmp_path / "audit-steps.csv").read_text() == "an earlier one"


def test_an_interrupted_export_leaves_no_file(steps: list[AuditTrailRow], tmp_path: Path) -> None:
    def interrupted() -> Iterator[AuditTrailRow]:
        yield steps[0]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        export_steps(interrupted(), ["jsonl", "csv", "parquet"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_created_during_the_export_is_not_overwritten_and_no_other_file_is_left(
    steps: list[AuditTrailRow], tmp_path: Path
) -> None:
    def raced() -> Iterator[AuditTrailRow]:
        yield from steps
        (tmp_path / "audit-steps.parquet").write_text("another one's")

    with pytest.raises(FileAlreadyExists, match="another folder"):
        export_steps(raced(), FORMATS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["audit-steps.parquet"]
    assert (tmp_path / "audit-steps.parquet").read_text() == "another one's"


def test_an_existing_symbolic_link_is_not_followed(steps: list[AuditTrailRow], tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "export"
    victim.write_text("precious")
    folder.mkdir()
    (folder / ".audit-steps.csv.part").symlink_to(victim)
    export_steps(steps, ["csv"], folder)
    assert victim.read_text() == "precious"
    (folder / "audit-steps.jsonl").symlink_to(tmp_path / "nothing there yet")
    with pytest.raises(FileAlreadyExists):
        export_steps(steps, ["jsonl"], folder)
    assert not (tmp_path / "nothing there yet").exists()


def test_of_two_concurrent_exports_into_one_folder_one_succeeds_and_the_other_fails(
    steps: list[AuditTrailRow], tmp_path: Path
) -> None:
    def second_meanwhile() -> Iterator[AuditTrailRow]:
        yield from steps[:5]
        export_steps(steps, ["jsonl"], tmp_path)
        yield from steps[5:]

    with pytest.raises(FileAlreadyExists):
        export_steps(second_meanwhile(), ["jsonl"], tmp_path)
    [left] = tmp_path.iterdir()
    assert len(left.read_bytes().splitlines()) == len(steps)


def test_a_failure_in_the_last_format_leaves_no_file(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full_disk_at_its_end(file: BinaryIO) -> Iterator[step_files.Write]:
        yield lambda _: None
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(step_files.FORMATS, "parquet", full_disk_at_its_end)
    with pytest.raises(FileNotWritten, match=r"audit-steps\.parquet was not written: No space left.* --out"):
        export_steps(steps, FORMATS, tmp_path)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def no_room_above(size: int) -> Iterator[None]:
    """The operating system refuses writes beyond `size` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [0, 20_000])
def test_a_full_disk_is_reported_with_the_path_and_leaves_no_file(
    steps: list[AuditTrailRow], tmp_path: Path, form: str, size: int
) -> None:
    many = (step for _ in range(200) for step in steps)
    with (
        no_room_above(size),
        pytest.raises(FileNotWritten, match=rf"steps\.{form} was not written: File too large"),
    ):
        export_steps(many, [form], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_files_are_synced_before_the_first_gets_its_final_name(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noted(name: str) -> None:
        real = getattr(os, name)

        def call(*given: Any) -> None:
            done.append(name)
            real(*given)

        monkeypatch.setattr(os, name, call)

    noted("fsync")
    noted("link")
    export_steps(steps, FORMATS, tmp_path)
    assert done == ["fsync"] * 3 + ["link"] * 3 + ["fsync"]


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system has no hard links, like FAT."""
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_the_files_are_copied_completely(
    steps: list[AuditTrailRow], tmp_path: Path
) -> None:
    _, files = export_steps(steps, FORMATS, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert len(files[0].read_bytes().splitlines()) == len(steps)
    with pytest.raises(FileAlreadyExists):
        export_steps(steps, FORMATS, tmp_path)
    assert len(files[0].read_bytes().splitlines()) == len(steps)


@pytest.mark.usefixtures("without_links")
def test_a_copy_that_fails_leaves_no_file(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfileobj", refusing(errno.ENOSPC))
    with pytest.raises(FileNotWritten, match="No space left"):
        export_steps(steps, FORMATS, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "is_kept"), [(errno.EINVAL, True), (errno.EACCES, True), (errno.EIO, False)]
)
def test_an_export_is_complete_or_absent_if_the_folder_cannot_be_synced(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_kept: bool
) -> None:
    real = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with nullcontext() if is_kept else pytest.raises(FileNotWritten):
        export_steps(steps, FORMATS, tmp_path)
    assert len(list(tmp_path.iterdir())) == (len(FORMATS) if is_kept else 0)


def test_a_folder_that_cannot_be_created_is_reported_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotWritten, match=r"file/export was not written: Not a directory"):
        export_steps([], FORMATS, tmp_path / "file/export")


def test_a_text_that_a_spreadsheet_would_evaluate_is_escaped_in_csv(
    steps: list[AuditTrailRow], tmp_path: Path
) -> None:
    texts = ['=HYPERLINK("x")', "+1", "-1", "@SUM(1)", "\tx", "calm"]
    hostile = [msgspec.structs.replace(steps[0], why=text, who=text) for text in texts]
    _, [table, lines] = export_steps(hostile, ["csv", "jsonl"], tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["why"] for row in rows] == [*(f"'{text}" for text in texts[:-1]), "calm"]
    assert [row["who"] for row in rows] == [row["why"] for row in rows]
    told = [msgspec.json.decode(line, type=AuditTrailRow) for line in lines.read_bytes().splitlines()]
    assert [step.why for step in told] == texts


def test_an_export_without_steps_writes_an_empty_file_of_each_format(tmp_path: Path) -> None:
    count, files = export_steps([], ["jsonl", "csv", "parquet"], tmp_path)
    assert count == 0
    assert files[0].read_bytes() == b""
    assert files[1].read_text().splitlines() == [",".join(COLUMNS)]
    assert parquet.read_table(files[2]).num_rows == 0

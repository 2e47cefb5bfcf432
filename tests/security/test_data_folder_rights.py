"""M9: nothing in the data folder can be read by other users of the machine."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.embedded.data_folder import DataFolder
from interfaces.bootstrap import save_addresses
from interfaces.demo.setup import written
from interfaces.settings.settings import Settings
from interfaces.simulators.world_spec import ClockSpec
from interfaces.system.private_files import private_umask, write_private
from tests.sample_values import NOW


def readable_by_others(folder: Path) -> list[str]:
    """Paths below `folder`, itself included, of which group or others have a right."""
    found = [folder, *folder.rglob("*")]
    return [str(path) for path in found if not path.is_symlink() and path.lstat().st_mode & 0o077]


@pytest.fixture(autouse=True)
def usual_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_data_folder_is_private(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with private_umask():
        data = DataFolder.opened(path)
        data.password("gridproof")
        data.folder("nats")
        data.log("nats").write_text("a log", encoding="utf-8")
        (path / "archive" / "raw").mkdir(parents=True)
        (path / "archive" / "raw" / "readings.gz").write_bytes(b"x")
        data.close()
    assert readable_by_others(path) == []
    assert data.rights_report == ""


def test_the_rights_of_others_to_an_existing_folder_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for folder in ("archive/raw", "logs", "postgres/pgdata"):
        (path / folder).mkdir(parents=True)
    (path / "archive" / "raw" / "readings.gz").write_bytes(b"x")
    (path / "postgres" / "pgdata" / "PG_VERSION").write_text("18", encoding="utf-8")
    outside = tmp_path / "outside"
    outside.write_text("x", encoding="utf-8")
    (path / "archive" / "link").symlink_to(outside)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755

    data = DataFolder.opened(path)
    data.close()

    assert "taken away" in data.rights_report
    assert [name for name in readable_by_others(path) if "/postgres" not in name] == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    again = DataFolder.opened(path)
    again.close()
    assert again.rights_report == ""


def test_an_interrupted_start_is_taken_up_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    (path / "archive").mkdir(parents=True)
    for name in ("first", "second"):
        (path / "archive" / name).write_bytes(b"x")
    chmod, changed = Path.chmod, list[Path]()

    def interrupted(self: Path, mode: int) -> None:
        if len(changed) == 2:
            raise KeyboardInterrupt
        changed.append(self)
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DataFolder.opened(path)
    monkeypatch.undo()
    data = DataFolder.opened(path)
    data.close()
    assert readable_by_others(path) == []
    assert "taken away" in data.rights_report


def test_a_file_that_vanishes_meanwhile_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.mkdir()
    for name in ("gone", "stays"):
        (path / name).write_bytes(b"x")
    chmod = Path.chmod

    def vanishing(self: Path, mode: int) -> None:
        if self.name == "gone":
            self.unlink()
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", vanishing)
    data = DataFolder.opened(path)
    data.close()
    assert readable_by_others(path) == []
    assert "taken away" in data.rights_report


def test_another_user_of_postgresql_may_enter_and_not_list_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "data"
    DataFolder.opened(path).close()
    path.chmod(0o711)  # as adapters.embedded.unprivileged does for the user nobody
    data = DataFolder.opened(path)
    data.close()
    assert data.rights_report == ""


def test_the_spec_of_the_demo_with_the_meters_password_is_private(tmp_path: Path) -> None:
    spec = written(tmp_path / "spec.json", ClockSpec(epoch=NOW, started_at=NOW, speed=1.0))
    write_private(tmp_path / "admin.key", "gp_key")
    assert readable_by_others(spec) == []
    assert (tmp_path / "admin.key").read_text(encoding="utf-8") == "gp_key\n"
    assert readable_by_others(tmp_path / "admin.key") == []


def test_a_private_file_is_replaced_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    running = Settings(data_dir=tmp_path, database_url="postgresql://app:password@127.0.0.1/gridproof")
    write_private(tmp_path / "admin.key", "gp_key")
    save_addresses(running)
    before = (tmp_path / "addresses.json").read_bytes()
    monkeypatch.setattr("os.fsync", killed)
    for name in ("admin.key", "new.key"):
        with pytest.raises(KeyboardInterrupt):
            write_private(tmp_path / name, "gp_other")
    with pytest.raises(KeyboardInterrupt):
        save_addresses(replace(running, database_url="postgresql://app:password@127.0.0.1/other"))
    assert (tmp_path / "admin.key").read_text(encoding="utf-8") == "gp_key\n"
    assert not (tmp_path / "new.key").exists()
    assert (tmp_path / "addresses.json").read_bytes() == before
    assert readable_by_others(tmp_path / "admin.key") == []
    assert readable_by_others(tmp_path / "addresses.json") == []

"""The files of settings that are read without --env-file: private ones of the data folder and of the user."""

import os
from pathlib import Path

import pytest

from interfaces.settings.default_env_files import read_default_env_files, user_env_file
from interfaces.settings.settings import SettingsError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def written(file: Path, *lines: str, mode: int = 0o600) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))
    file.chmod(mode)
    return file


def test_without_files_there_is_nothing(environ: dict[str, str]) -> None:
    assert read_default_env_files(environ) == {}


def test_the_data_folder_says_more_than_the_user_who_may_say_where_it_is(
    environ: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    written(
        user_env_file(environ),
        f"GRIDPROOF_DATA_DIR={data}",
        "GRIDPROOF_QUEUE_DEPTH=7",
        "GRIDPROOF_LOG_LEVEL=debug",
        "GRIDPROOF_SECRET_WEST=s3",
    )
    written(data / "gridproof.env", "GRIDPROOF_QUEUE_DEPTH=9", "GRIDPROOF_DATA_DIR=/elsewhere")

    assert read_default_env_files(environ) == {
        "GRIDPROOF_DATA_DIR": str(data),
        "GRIDPROOF_QUEUE_DEPTH": "9",
        "GRIDPROOF_LOG_LEVEL": "debug",
        "GRIDPROOF_SECRET_WEST": "s3",
    }


def test_the_environment_says_where_the_data_folder_is(environ: dict[str, str], tmp_path: Path) -> None:
    written(tmp_path / "data" / "gridproof.env", "GRIDPROOF_QUEUE_DEPTH=9")

    found = read_default_env_files(environ | {"GRIDPROOF_DATA_DIR": str(tmp_path / "data")})

    assert found == {"GRIDPROOF_QUEUE_DEPTH": "9"}


def test_the_configuration_folder_is_that_of_xdg_where_it_is_absolute(
    environ: dict[str, str], tmp_path: Path
) -> None:
    usual = tmp_path / "home" / ".config" / "gridproof" / "gridproof.env"
    assert user_env_file(environ) == usual
    assert user_env_file(environ | {"XDG_CONFIG_HOME": "relative"}) == usual
    assert user_env_file(environ | {"XDG_CONFIG_HOME": "/etc/xdg"}) == Path(
        "/etc/xdg/gridproof/gridproof.env"
    )


def test_a_file_of_the_current_folder_is_not_read(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "gridproof.env", "GRIDPROOF_QUEUE_DEPTH=9")
    monkeypatch.chdir(tmp_path)

    assert read_default_env_files(environ) == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_read_or_write_is_refused_with_what_to_do(
    environ: dict[str, str], mode: int
) -> None:
    file = written(user_env_file(environ), "GRIDPROOF_QUEUE_DEPTH=9", mode=mode)

    with pytest.raises(SettingsError, match=f"chmod 600 {file}"):
        read_default_env_files(environ)


def test_a_file_of_another_user_is_refused(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    written(user_env_file(environ), "GRIDPROOF_QUEUE_DEPTH=9")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(SettingsError, match="belongs to user"):
        read_default_env_files(environ)


def test_lines_that_cannot_be_read_are_all_named(environ: dict[str, str], tmp_path: Path) -> None:
    user = written(user_env_file(environ), "nonsense")
    data = written(tmp_path / "data" / "gridproof.env", "PATH=/tmp")

    with pytest.raises(SettingsError) as refused:
        read_default_env_files(environ | {"GRIDPROOF_DATA_DIR": str(tmp_path / "data")})

    assert f"{user}, line 1" in str(refused.value)
    assert f"{data}, line 1" in str(refused.value)

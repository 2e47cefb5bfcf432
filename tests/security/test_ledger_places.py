"""H6: doctor says where the ledger's key, the archive and the database stand together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interfaces.bootstrap.doctor.ledger_places import check_ledger_places
from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.settings.settings import Settings

HERE = "postgresql://gridproof_app:x@127.0.0.1:5432/gridproof"
ELSEWHERE = "postgresql://gridproof_app:x@db-1.example,db-2.example/gridproof"


def checked(folder: Path, database: str, **settings: Any) -> CheckResult:
    return check_ledger_places(Settings(data_dir=folder, **settings), database)


def test_the_default_of_one_folder_is_named(tmp_path: Path) -> None:
    for name in ("archive", "postgres"):
        (tmp_path / name).mkdir()
    (tmp_path / "ledger.key").touch()
    result = checked(tmp_path, HERE)
    assert result.state == "warning"
    for why in ("on this machine", f"in {tmp_path}", "of one user"):
        assert f"key, archive and database are {why}" in result.detail
    assert "object lock" in result.advice


@pytest.mark.parametrize(
    ("database", "settings", "found"),
    [
        (ELSEWHERE, {"archive_url": "s3://ledger"}, None),
        (HERE, {"archive_url": "s3://ledger"}, "key and database are on this machine"),
        (
            ELSEWHERE,
            {"archive_url": "file:///archive", "ledger_key": "env:LEDGER"},
            "key and archive are on this machine",
        ),
        (
            ELSEWHERE,
            {"archive_url": "s3://ledger", "archive_s3_endpoint": "http://localhost:9000"},
            "key and archive are on this machine",
        ),
        (
            "postgresql:///gridproof?host=/run/postgresql",
            {"archive_url": "s3://ledger"},
            "key and database are on this machine",
        ),
        (
            "postgresql://gridproof_app:x@localhost,db-2.example/gridproof",
            {"archive_url": "s3://ledger"},
            "key and database are on this machine",
        ),
        (
            "postgresql://gridproof_app:x@db-1.example/gridproof?hostaddr=127.0.0.1",
            {"archive_url": "s3://ledger"},
            "key and database are on this machine",
        ),
        (ELSEWHERE + "?hostaddr=192.0.2.7,192.0.2.8", {"archive_url": "s3://ledger"}, None),
    ],
)
def test_key_archive_and_database_in_one_place_are_named(
    tmp_path: Path, database: str, settings: dict[str, str], found: str | None
) -> None:
    result = checked(tmp_path, database, **settings)
    assert result.detail == (found or "key, archive and database are apart")
    assert result.state == ("ok" if found is None else "warning")

"""What GRIDPROOF_TLS_CA_FILE adds to the addresses of servers."""

import os
from pathlib import Path

import pytest

from interfaces.settings.settings import SettingsError, read_settings
from tests.tls_certificates import Authority


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Authority(tmp_path).file


def completed(file: Path, setting: str, url: str) -> str:
    settings = read_settings({"GRIDPROOF_TLS_CA_FILE": str(file), f"GRIDPROOF_{setting.upper()}": url})
    assert read_settings(settings.to_environ()) == settings, "a child process has the same"
    return str(getattr(settings, setting))


def test_postgresql_is_verified_by_the_authorities(file: Path) -> None:
    url = "postgresql://app@db-1:5432,db-2:5432/gridproof"
    assert completed(file, "database_replica_url", url) == f"{url}?sslmode=verify-full&sslrootcert={file}"


@pytest.mark.parametrize("said", ["sslmode=disable", "sslmode=verify-ca&sslrootcert=/etc/other.pem"])
def test_what_an_address_says_itself_stays(file: Path, said: str) -> None:
    url = f"postgresql://app@db-1/gridproof?{said}"
    assert completed(file, "database_replica_url", url) == url


def test_the_first_address_of_a_list_carries_the_authorities_for_all(file: Path) -> None:
    found = completed(file, "redis_url", "rediss://a:6379/0,rediss://b:6379/0")
    assert found == f"rediss://a:6379/0?ssl_ca_certs={file},rediss://b:6379/0"
    assert (
        completed(file, "nats_url", "tls://a:4222,tls://b:4222")
        == f"tls://a:4222?ca_file={file},tls://b:4222"
    )


def test_addresses_of_nats_are_all_with_tls_or_none() -> None:
    """Otherwise the login went in clear to the one without."""
    with pytest.raises(SettingsError, match="NATS_URL"):
        read_settings({"GRIDPROOF_NATS_URL": "tls://app:pw@a:4222,nats://app:pw@b:4222"})


def test_a_pipe_is_no_file_of_authorities(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="is no file"):
        read_settings({"GRIDPROOF_TLS_CA_FILE": str(tmp_path / "pipe")})


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222"])
def test_an_address_without_tls_stays(file: Path, url: str) -> None:
    assert completed(file, "nats_url", url) == url


@pytest.mark.parametrize(("content", "said"), [("nothing", "no certificate"), (None, "cannot be read")])
def test_a_file_of_no_use_is_named_with_the_settings(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        read_settings({"GRIDPROOF_TLS_CA_FILE": str(file)})

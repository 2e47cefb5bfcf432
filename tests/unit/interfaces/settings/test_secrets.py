"""Secrets by reference."""

from pathlib import Path

import pytest

from interfaces.settings.secrets import (
    MAX_SECRET_BYTES,
    SecretEmpty,
    SecretError,
    SecretNotFound,
    SecretReferenceInvalid,
    SecretTooLarge,
    SecretUnreadable,
    resolve_secret,
)


def test_a_secret_comes_from_the_environment() -> None:
    assert resolve_secret("env:PACIFIC", {"PACIFIC": "s3cret"}) == b"s3cret"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDPROOF_SECRET_PACIFIC", "s3cret")
    assert resolve_secret("env:GRIDPROOF_SECRET_PACIFIC") == b"s3cret"


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path: Path, ending: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" s3cret " + ending)
    assert resolve_secret(f"file:{file}") == b" s3cret "


@pytest.mark.parametrize("ref", ["hunter2", "env:", "env:NO-NAME", "file:relative", "vault:x", ""])
def test_an_unsupported_reference_is_refused_without_repeating_it_in_the_error(ref: str) -> None:
    with pytest.raises(SecretReferenceInvalid) as refusal:
        resolve_secret(ref, {})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("ref", ["env:ABSENT", "file:/absent/secret"])
def test_the_error_for_a_missing_secret_names_its_reference(ref: str) -> None:
    with pytest.raises(SecretNotFound, match=ref):
        resolve_secret(ref, {})


def test_a_folder_is_refused_as_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretUnreadable):
        resolve_secret(f"file:{tmp_path}")


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\n")
    for ref in (f"file:{file}", "env:EMPTY"):
        with pytest.raises(SecretEmpty):
            resolve_secret(ref, {"EMPTY": ""})


def test_a_large_file_is_refused_without_reading_it_completely(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    with pytest.raises(SecretTooLarge):
        resolve_secret(f"file:{file}")
    file.write_bytes(b"x" * MAX_SECRET_BYTES + b"\n")
    assert len(resolve_secret(f"file:{file}")) == MAX_SECRET_BYTES


def test_an_error_never_contains_the_secret() -> None:
    with pytest.raises(SecretError) as refusal:
        resolve_secret("env:LONG", {"LONG": "hunter2" * MAX_SECRET_BYTES})
    assert "hunter2" not in str(refusal.value)

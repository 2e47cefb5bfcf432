"""`gridproof keys`: output and exit status."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

import interfaces.cli.keys.commands as keys_command
from application.access.api_keys import is_genuine, parse_token
from application.ports.access.api_keys import ApiKeys
from application.ports.clock import Clock
from interfaces.cli.keys.commands import keys_group
from tests.fakes.access.api_keys import FakeApiKeys


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 7, 14, 12, 0, tzinfo=UTC)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@pytest.fixture
def api_keys(monkeypatch: pytest.MonkeyPatch) -> FakeApiKeys:
    fake = FakeApiKeys()

    @contextmanager
    def opened() -> Iterator[tuple[ApiKeys, Clock]]:
        yield fake, FixedClock()

    monkeypatch.setattr(keys_command, "opened_api_keys", opened)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys_group, arguments)


def test_a_created_key_is_shown_once_and_works(api_keys: FakeApiKeys) -> None:
    result = run("create", "--role", "utility", "--utility", "util-1")
    assert result.exit_code == 0
    token = result.stdout.strip()
    parsed = parse_token(token)
    assert parsed is not None
    stored = api_keys.find(parsed[0])
    assert stored is not None
    assert is_genuine(stored, parsed[1])
    assert token not in run("list").output
    assert token not in run("list", "--json").output


def test_json_is_one_document(api_keys: FakeApiKeys) -> None:
    created: dict[str, Any] = json.loads(run("create", "--role", "admin", "--json").stdout)
    assert created["key"].startswith(f"gpk_{created['key_id']}_")
    listed = json.loads(run("list", "--json").stdout)
    assert [key["key_id"] for key in listed["keys"]] == [created["key_id"]]
    revoked = json.loads(run("revoke", created["key_id"], "--json").stdout)
    assert revoked["revoked_at"] == "2026-07-14T12:00:00Z"


def test_each_created_key_is_unique(api_keys: FakeApiKeys) -> None:
    tokens = {run("create", "--role", "auditor").stdout for _ in range(5)}
    assert len(tokens) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--role", "king"),
        ("create", "--role", "utility"),
        ("create", "--role", "operator", "--utility", "util-1"),
        ("create", "--role", "admin", "--facility", "fac-001"),
    ],
)
def test_a_usage_error_exits_with_2_and_creates_no_key(
    api_keys: FakeApiKeys, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).exit_code == 2
    assert api_keys.listed() == []


def test_revoking_an_unknown_key_exits_with_1_and_suggests_a_command(api_keys: FakeApiKeys) -> None:
    result = run("revoke", "000000000000")
    assert result.exit_code == 1
    assert "gridproof keys list" in result.output


def test_every_command_has_an_example() -> None:
    for command in ("create", "list", "revoke"):
        assert "gridproof keys" in run(command, "--help").output

"""`gridproof keys`: output and exit status."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

import interfaces.cli.keys.commands as keys_command
from application.access.api_keys import parse_token
from interfaces.cli.keys.commands import Access, keys_group
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.access.operators import FakeOperators
from tests.portfolio_ids import portfolio_ids

PORTFOLIO = portfolio_ids("fac-001", "fac-002", utility_ids=["util-1"])


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 7, 14, 12, 0, tzinfo=UTC)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@pytest.fixture
def api_keys(monkeypatch: pytest.MonkeyPatch) -> FakeApiKeys:
    fake = FakeApiKeys()

    @contextmanager
    def opened() -> Iterator[Access]:
        yield Access(fake, FakeOperators(), FixedClock(), FixedClock(), PORTFOLIO)

    monkeypatch.setattr(keys_command, "opened_access", opened)
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
    assert stored.is_genuine(parsed[1], at=FixedClock().now())
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
        ("create", "--role", "utility", "--utility", "nobody"),
        ("create", "--role", "dashboard", "--facility", "nobody"),
    ],
)
def test_a_usage_error_exits_with_2_and_creates_no_key(
    api_keys: FakeApiKeys, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).exit_code == 2
    assert api_keys.listed() == []


def test_a_mistyped_id_is_refused_with_the_nearest_ones(api_keys: FakeApiKeys) -> None:
    assert (
        "did you mean fac-002 or fac-001?" in run("create", "--role", "owner", "--facility", "fac-00").stderr
    )
    assert "did you mean util-1?" in run("create", "--role", "utility", "--utility", "util1").stderr
    assert api_keys.listed() == []


def test_revoking_an_unknown_key_exits_with_1_and_suggests_a_command(api_keys: FakeApiKeys) -> None:
    result = run("revoke", "000000000000")
    assert result.exit_code == 1
    assert "gridproof keys list" in result.output


def test_every_command_has_an_example() -> None:
    for command in ("create", "list", "rotate", "revoke", "operators", "forget"):
        assert "gridproof keys" in run(command, "--help").output


def test_a_key_has_a_name_and_an_end_and_is_rotated_with_an_overlap(api_keys: FakeApiKeys) -> None:
    created = json.loads(
        run("create", "--role", "admin", "--name", "ci", "--expires", "2026-08-01T00:00:00Z", "--json").stdout
    )
    assert (created["name"], created["expires_at"]) == ("ci", "2026-08-01T00:00:00Z")
    rotated = json.loads(run("rotate", created["key_id"], "--overlap-hours", "24", "--json").stdout)
    assert (rotated["replaces"], rotated["name"]) == (created["key_id"], "ci")
    ends = {key.key_id: key.expires_at for key in api_keys.listed()}
    assert ends[created["key_id"]] == datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
    assert "valid until 2026-07-15 12:00:00Z" in run("list").stdout
    run("revoke", created["key_id"])
    assert run("rotate", created["key_id"]).exit_code == 1


def test_a_key_that_would_never_be_valid_is_refused(api_keys: FakeApiKeys) -> None:
    assert run("create", "--role", "admin", "--expires", "2026-01-01T00:00:00Z").exit_code == 2


def test_the_name_of_a_key_can_be_forgotten(api_keys: FakeApiKeys) -> None:
    created = json.loads(run("create", "--role", "admin", "--name", "anna", "--json").stdout)
    assert run("forget", created["key_id"]).exit_code == 0
    assert "anna" not in run("list").stdout
    assert run("forget", "0" * 12).exit_code == 1


def test_the_acts_name_the_operator_by_an_id(api_keys: FakeApiKeys) -> None:
    run("create", "--role", "admin", "--name", "anna")
    [act] = api_keys.acts
    assert act.actor.startswith("operator:cli/")
    assert len(act.actor) == len("operator:cli/") + 12
    assert "anna" not in repr(act)

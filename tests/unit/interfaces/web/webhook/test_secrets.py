"""The HMAC secrets of utilities: resolved by reference and cached briefly."""

import pytest

from application.facility.portfolio_entries import UtilityEntry
from interfaces.settings.secrets import SecretError, resolve_secret
from interfaces.web.api.webhook.secrets import CACHED_S, WebhookSecrets
from tests.fakes.facility import FakeUtilities
from tests.sample_values import portfolio_act
from tests.unit.interfaces.web.edge import NOW


def utilities(reference: str | None) -> FakeUtilities:
    cached = FakeUtilities()
    cached.keep(
        [UtilityEntry(utility_id="util-1", webhook_secret_ref=reference)], at=NOW, act=portfolio_act()
    )
    return cached


def test_a_utility_without_a_reference_does_not_sign() -> None:
    assert WebhookSecrets(utilities(None), resolve_secret).of("util-1") is None


def test_a_utility_that_is_not_in_the_portfolio_does_not_sign() -> None:
    assert WebhookSecrets(FakeUtilities(), resolve_secret).of("util-9") is None


def test_a_secret_is_resolved_by_its_reference_and_refreshed_after_a_while() -> None:
    now, asked = [0.0], list[str]()

    def resolve(reference: str) -> bytes:
        asked.append(reference)
        return f"secret {len(asked)}".encode()

    secrets = WebhookSecrets(utilities("env:UTIL_1"), resolve, monotonic=lambda: now[0])
    assert [secrets.of("util-1") for _ in range(3)] == [b"secret 1"] * 3
    now[0] = CACHED_S
    assert secrets.of("util-1") == b"secret 2"
    assert asked == ["env:UTIL_1"] * 2


def test_a_secret_that_cannot_be_resolved_is_an_error_and_not_cached() -> None:
    secrets = WebhookSecrets(utilities("file:/no/such/file"), resolve_secret)
    for _ in range(2):
        with pytest.raises(SecretError):
            secrets.of("util-1")

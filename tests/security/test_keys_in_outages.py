"""L4: for how long a revoked key may still read while PostgreSQL is away, which the operator's guide states."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from application.access.api_keys import revoke
from application.ports.access.api_keys import ApiKeysUnavailable
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.caching.lookup_cache import LOOKUP_FRESH_S, USABLE_IN_OUTAGE_S
from interfaces.web.problems import Problem
from tests.unit.interfaces.web.edge import NOW, Edge

GUIDE = " ".join((Path(__file__).parents[2] / "docs/guides/operator.md").read_text().split())


def test_the_guide_states_both_times() -> None:
    assert f"refused by each web process within {LOOKUP_FRESH_S:.0f} s" in GUIDE
    assert f"looked up in the last {USABLE_IN_OUTAGE_S / 60:.0f} minutes" in GUIDE


def test_a_revoked_key_reads_only_during_an_outage_and_writes_never() -> None:
    edge, now, away = Edge(), [0.0], [False]
    header = edge.key("operator")["Authorization"]
    authenticator = Authenticator(
        edge.api_keys, now=lambda: NOW, is_away=lambda: away[0], monotonic=lambda: now[0]
    )

    async def scenario() -> None:
        admitted = await authenticator.principal(header)
        revoke(edge.api_keys, admitted.key_id, by="operator:test", at=NOW + timedelta(seconds=1))
        away[0], now[0] = True, USABLE_IN_OUTAGE_S - 1
        assert await authenticator.principal(header, only_reads=True) == admitted
        with pytest.raises(ApiKeysUnavailable):
            await authenticator.principal(header)
        now[0] = USABLE_IN_OUTAGE_S
        with pytest.raises(ApiKeysUnavailable):
            await authenticator.principal(header, only_reads=True)
        away[0] = False
        with pytest.raises(Problem, match="unauthenticated"):
            await authenticator.principal(header, only_reads=True)

    asyncio.run(scenario())

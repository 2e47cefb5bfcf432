"""`GET /api/audit/administration`: pages of acts. Whom they are shown: tests/security/test_audit_isolation.py."""

from typing import Any

import pytest

from application.access.api_keys import issue
from interfaces.web.authentication.concurrency_limit import TenantConcurrencyLimit
from projections.audit.stream_log import StreamEntry
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.stream_log import FakeStreamLog
from tests.unit.interfaces.web.edge import NOW, Edge

PATH = "/api/audit/administration"


def log_of(count: int) -> FakeStreamLog:
    keys, log = FakeApiKeys(), FakeStreamLog()
    for number in range(count):
        issue(
            keys,
            role="admin",
            by="operator:cli/0a1b2c3d4e5f",
            at=NOW,
            entropy=bytes(32) + bytes([number]) * 6,
        )
    log.entries = [StreamEntry(position, act) for position, act in enumerate(keys.acts, 1)]
    return log


def test_acts_are_listed_the_newest_first_page_by_page() -> None:
    edge = Edge(others={"stream_log": log_of(5)})
    auditor = edge.key("auditor")
    with edge.client() as client:
        first = client.get(PATH, params={"limit": 3}, headers=auditor).json()
        second = client.get(PATH, params={"limit": 3, "cursor": first["next_cursor"]}, headers=auditor).json()
    assert [act["position"] for act in (*first["items"], *second["items"])] == [5, 4, 3, 2, 1]
    assert second["next_cursor"] is None
    newest = first["items"][0]
    assert newest["who"] == "operator:cli/0a1b2c3d4e5f"
    assert newest["what"] == "API key 040404040404 issued: admin"
    assert newest["topic"] == "administration.api-key-issued.v1"


def test_a_cursor_of_another_list_is_refused() -> None:
    edge = Edge(others={"stream_log": log_of(1)})
    auditor = edge.key("auditor")
    with edge.client() as client:
        for cursor in ("x", "WyJhbGVydHMiLCIyMDI2IiwiMSJd", "WyJhZG1pbmlzdHJhdGlvbiIsIjk5IiwiIl0"):
            assert client.get(PATH, params={"cursor": cursor}, headers=auditor).status_code == 400


def test_a_key_searches_for_a_facility_or_a_program_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a search looks at every listed domain event; a page of the list reads its own rows alone."""
    limited, run = list[str](), TenantConcurrencyLimit.run

    async def noted(self: TenantConcurrencyLimit, tenant: str, call: Any) -> Any:
        assert self._share == 1
        limited.append(tenant)
        return await run(self, tenant, call)

    monkeypatch.setattr(TenantConcurrencyLimit, "run", noted)
    edge = Edge(others={"stream_log": log_of(1)})
    with edge.client() as client:
        for search in ({"facility": "fac-001"}, {"program": "summer-peak"}, {}, {"kind": "access"}):
            for key in (edge.key("auditor"), edge.key("operator")):
                assert client.get(PATH, params=search, headers=key).status_code == 200
    assert len(limited) == len(set(limited)) == 4
    assert all(tenant.startswith("key ") for tenant in limited)

"""API keys over HTTP: made and rotated (sent once), listed without secrets, revoked; by role admin alone."""

from typing import Any

import pytest

from interfaces.web.portfolio_sources import PortfolioSources
from projections.engine.cursors import cursor_after
from tests.portfolio_ids import portfolio_ids
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of


def edge_with_a_portfolio(**others: Any) -> Edge:
    sources = PortfolioSources(ids=portfolio_ids("fac-001", utility_ids=["city-power"]))
    return Edge(others={"portfolio": sources, **others})


def test_a_key_is_made_once_listed_without_its_secret_and_may_call() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        made = client.post("/api/keys", json={"role": "operator", "name": "night shift"}, headers=admin)
        listed = client.get("/api/keys", headers=admin)
        token = made.json()["key"]
        called = client.get("/api/session", headers={"Authorization": f"Bearer {token}"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    document = made.json()["api_key"]
    assert (document["role"], document["name"], document["is_valid"]) == ("operator", "night shift", True)
    assert document["key_id"] in [one["key_id"] for one in listed.json()["items"]]
    assert token.rpartition("_")[2] not in listed.text
    assert called.json()["role"] == "operator"


def test_the_list_of_keys_has_pages() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    pages: list[Any] = []
    query = "limit=2"
    with edge.client() as client:
        for _ in range(4):
            client.post("/api/keys", json={"role": "operator"}, headers=admin)
        whole = client.get("/api/keys", headers=admin).json()
        while not pages or pages[-1]["next_cursor"] is not None:
            pages.append(client.get(f"/api/keys?{query}", headers=admin).json())
            query = f"limit=2&cursor={pages[-1]['next_cursor']}"
        other = client.get(f"/api/keys?cursor={cursor_after('utilities', 'a', 'a')}", headers=admin)
    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page["items"]] == whole["items"]
    assert problem_of(other)["status"] == 400, "a cursor is one of its list"


def test_making_and_revoking_are_recorded_with_the_key_that_did_it() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        mine = client.get("/api/keys", headers=admin).json()["items"][0]["key_id"]
        made = client.post("/api/keys", json={"role": "auditor"}, headers=admin).json()["api_key"]["key_id"]
        revoked = client.delete(f"/api/keys/{made}", headers=admin).json()
    assert revoked["is_valid"] is False
    recorded = [(type(act).__name__, act.actor) for act in edge.api_keys.acts[-2:]]
    assert recorded == [("ApiKeyIssued", f"admin:{mine}"), ("ApiKeyRevoked", f"admin:{mine}")]


def test_a_rotated_key_has_the_scope_and_name_of_the_old_one_which_ends_with_the_overlap() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        body = {"role": "utility", "utility_id": "city-power", "name": "webhook"}
        old = client.post("/api/keys", json=body, headers=admin).json()["api_key"]
        new = client.post(f"/api/keys/{old['key_id']}/rotation", json={"overlap_hours": 0}, headers=admin)
        keys = {one["key_id"]: one for one in client.get("/api/keys", headers=admin).json()["items"]}
    document = new.json()["api_key"]
    assert (document["replaces"], document["utility_id"], document["name"]) == (
        old["key_id"],
        "city-power",
        "webhook",
    )
    assert keys[old["key_id"]]["is_valid"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "utility", "utility_id": "nobody"}, "utility_id"),
        ({"role": "owner", "facility_id": "fac-9"}, "facility_id"),
        ({"role": "king"}, "role"),
        ({"role": "operator", "expires_at": "2026-01-01T00:00:00Z"}, "expires_at"),
        ({"role": "utility"}, "role"),
        ({"role": "operator", "facility_id": "fac-001"}, "role"),
    ],
)
def test_a_key_that_would_be_of_no_use_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        document = problem_of(client.post("/api/keys", json=body, headers=admin))
        assert len(client.get("/api/keys", headers=admin).json()["items"]) == 1
    assert (document["status"], [one["field"] for one in document["reasons"]]) == (400, [field])


def test_a_key_that_is_unknown_or_revoked_cannot_be_rotated() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        made = client.post("/api/keys", json={"role": "auditor"}, headers=admin).json()["api_key"]["key_id"]
        client.delete(f"/api/keys/{made}", headers=admin)
        refused = [
            problem_of(client.request(method, f"/api/keys/{path}", json={}, headers=admin))["status"]
            for method, path in (("POST", f"{made}/rotation"), ("POST", "no/rotation"), ("DELETE", "no"))
        ]
    assert refused == [409, 404, 404]


def test_keys_are_made_no_faster_than_the_shared_rate_allows() -> None:
    edge = edge_with_a_portfolio()
    edge.rate_per_s = 2
    admin = edge.key("admin")
    with edge.client() as client:
        made = [
            client.post("/api/keys", json={"role": "auditor"}, headers=admin).status_code for _ in range(3)
        ]
    assert made == [201, 201, 429]


def test_a_session_makes_keys_from_a_page_of_this_origin_only() -> None:
    edge = edge_with_a_portfolio()
    admin = edge.key("admin")
    with edge.client() as client:
        client.post("/api/session", headers=admin)
        body = {"role": "auditor"}
        assert client.post("/api/keys", json=body).status_code == 403
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert client.post("/api/keys", json=body, headers=elsewhere).status_code == 403
        assert (
            client.post("/api/keys", json=body, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 201
        )


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard"])
def test_no_other_role_lists_makes_or_revokes_keys(role: Any) -> None:
    edge = edge_with_a_portfolio()
    key = edge.key(role)
    with edge.client() as client:
        for method, path in (("GET", ""), ("POST", ""), ("POST", "/x/rotation"), ("DELETE", "/x")):
            asked = client.request(method, f"/api/keys{path}", json={"role": "admin"}, headers=key)
            assert asked.status_code == 403
    assert [one.created_at for one in edge.api_keys.listed()] == [NOW]

"""Logins of meters over HTTP: edge_beside_host of the process of `gridproof up`, sent once, by role admin alone."""

from typing import Any
from uuid import uuid4

import pytest

from application.ports.access.meter_logins import DrawnPassword
from application.ports.operations.host_tasks import CreateMeterLogin, RevokeMeterLogin
from interfaces.web.host_sources import ANSWERS_WITHIN_S, HostSources
from interfaces.web.portfolio_sources import PortfolioSources
from tests.fakes.operations.host_tasks import FakeHostTasks
from tests.portfolio_ids import portfolio_ids
from tests.unit.interfaces.web.edge import Edge, problem_of

PATH = "/api/meter-logins"
DRAWN = DrawnPassword("drawn-and-shown-once", "$2a$04$hash")


class EdgeBesideHost:
    """An edge beside a host whose broker has the login of fac-002."""

    def __init__(self, **others: Any) -> None:
        self.tasks = FakeHostTasks()
        self.tasks.show_state(mqtt_port=1883, meter_logins=["fac-002"])
        unused: Any = None
        host = HostSources(tasks=self.tasks, imports=unused, spool=unused, draw_password=lambda: DRAWN)
        sources = PortfolioSources(ids=portfolio_ids("fac-001", "fac-002"))
        self.edge = Edge(others={"host": host, "portfolio": sources, **others})
        self.admin = self.edge.key("admin")

    def send(self, method: str, path: str = "", key: dict[str, str] | None = None, **body: Any) -> Any:
        with self.edge.client() as client:
            return client.request(method, PATH + path, json=body or None, headers=key or self.admin)


def test_a_login_is_a_task_of_the_host_with_only_its_hash_and_sent_once() -> None:
    edge_beside_host = EdgeBesideHost()
    made = edge_beside_host.send("POST", facility_id="fac-001")
    assert (made.status_code, made.headers["cache-control"]) == (202, "no-store")
    document = made.json()
    assert (document["user"], document["password"], document["mqtt_port"]) == (
        "fac-001",
        DRAWN.password,
        1883,
    )
    [task] = edge_beside_host.tasks.tasks.values()
    assert task.work == CreateMeterLogin(facility_id="fac-001", password_hash=DRAWN.password_hash)
    assert task.requested_by.startswith("admin:")
    assert DRAWN.password not in repr(edge_beside_host.tasks.tasks)

    listed = edge_beside_host.send("GET")
    assert DRAWN.password not in listed.text
    assert DRAWN.password_hash not in listed.text
    assert [one["facility_id"] for one in listed.json()["tasks"]] == ["fac-001"]
    edge_beside_host.tasks.end(task.task_id)
    followed = edge_beside_host.send("GET", f"/tasks/{task.task_id}")
    assert (followed.json()["state"], followed.json()["is_new"]) == ("done", True)
    assert DRAWN.password_hash not in followed.text


def test_a_login_is_revoked_by_the_host() -> None:
    edge_beside_host = EdgeBesideHost()
    assert edge_beside_host.send("DELETE", "/fac-002").status_code == 202
    [task] = edge_beside_host.tasks.tasks.values()
    assert task.work == RevokeMeterLogin(facility_id="fac-002")
    again = problem_of(edge_beside_host.send("DELETE", "/fac-002"))
    assert (again["status"], "being changed" in again["detail"]) == (409, True)
    assert edge_beside_host.send("DELETE", "/fac-001").status_code == 404


@pytest.mark.parametrize(
    ("facility_id", "status", "said"),
    [
        ("fac-002", 409, "has a login already"),
        ("fac-01", 400, "fac-01"),
        ('x", password: "y', 400, "wrong"),
        ("A" * 64, 400, "wrong"),
    ],
)
def test_an_impossible_login_is_refused_before_it_is_a_task(facility_id: str, status: int, said: str) -> None:
    edge_beside_host = EdgeBesideHost()
    problem = problem_of(edge_beside_host.send("POST", facility_id=facility_id))
    assert (problem["status"], said in problem["detail"]) == (status, True)
    assert edge_beside_host.tasks.tasks == {}


@pytest.mark.parametrize("way", ["external broker", "silent host", "no host yet"])
def test_without_a_broker_of_gridproof_up_the_command_is_named(way: str) -> None:
    edge_beside_host = EdgeBesideHost()
    if way == "external broker":
        edge_beside_host.tasks.show_state(mqtt_port=None, meter_logins=None)
    elif way == "silent host":
        edge_beside_host.tasks.age_s = ANSWERS_WITHIN_S + 1
    else:
        edge_beside_host.tasks._shown = None
    assert edge_beside_host.send("GET").json() == {
        "is_managed": False,
        "mqtt_port": None,
        "items": [],
        "tasks": [],
    }
    refused = problem_of(edge_beside_host.send("POST", facility_id="fac-001"))
    assert (refused["status"], "gridproof keys meters create" in refused["detail"]) == (409, True)
    assert edge_beside_host.send("DELETE", "/fac-002").status_code == 409


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard", "utility", "owner"])
def test_no_other_role_sees_makes_or_revokes_a_login(role: Any) -> None:
    edge_beside_host = EdgeBesideHost()
    scope = {"utility": {"utility": "city-power"}, "owner": {"facility": "fac-001"}}.get(role, {})
    key = edge_beside_host.edge.key(role, **scope)
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/fac-002"), ("GET", f"/tasks/{uuid4()}")):
        body = {"facility_id": "fac-001"} if method == "POST" else {}
        assert edge_beside_host.send(method, path, key, **body).status_code == 403
    assert edge_beside_host.tasks.tasks == {}


def test_a_session_makes_a_login_from_a_page_of_this_origin_only() -> None:
    edge_beside_host = EdgeBesideHost()
    with edge_beside_host.edge.client() as client:
        client.post("/api/session", headers=edge_beside_host.admin)
        body = {"facility_id": "fac-001"}
        assert client.post(PATH, json=body).status_code == 403
        assert client.post(PATH, json=body, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 202

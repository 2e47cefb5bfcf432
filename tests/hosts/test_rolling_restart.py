"""Every process on two hosts is restarted, one after the other, while people and a utility call: no request fails."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import httpx
import pytest

from application.facility.portfolio_entries import Portfolio
from domain.dr_event import DREvent
from interfaces.bootstrap import Stores, open_stores, verify_read_models
from interfaces.cli.worker import WORKERS
from interfaces.demo.setup import issue_key, portfolio_of, register
from interfaces.settings.settings import read_settings
from interfaces.simulators.sample_portfolio import PROGRAM_ID, UTILITY_ID, modelled_facilities
from tests.hosts.figures import record
from tests.hosts.nats_cluster import mqtt_url
from tests.hosts.network import Host, Network, network
from tests.hosts.workers import HTTP, STARTED_WITHIN_S, WorkerHosts, worker_hosts

pytestmark = pytest.mark.hosts
FACILITIES = 5
REQUESTS = 100
ANSWERED_WITHIN_S = 60.0
PAUSE_S = 0.02
READS = (
    "/api/dr-events?limit=100",
    "/api/facilities?limit=100",
    "/api/portfolio/forecast",
    "/api/operations",
)
MANY = "1000000"
SETTINGS = {
    "GRIDPROOF_HTTP_RATE_PER_KEY_PER_S": MANY[:5],
    "GRIDPROOF_QUEUE_DEPTH": MANY,
    "GRIDPROOF_WAITING_PER_UTILITY": MANY,
}


@dataclass
class Client:
    """Calls the web processes as through a balancer: one that does not take a request, or closes the connection
    without an answer, is passed over for the other."""

    host: Host
    servers: Sequence[Host]
    request: Callable[[int], httpx.Request]
    """The next request, without its server."""
    answers: list[httpx.Response] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    """Error of a connection -> how often."""
    longest_s: float = 0.0

    def running(self) -> AbstractContextManager[None]:
        return self.host.running(self._run)

    def _run(self, stop: Event) -> None:
        with httpx.Client(timeout=ANSWERED_WITHIN_S) as http:
            number = 0
            while not stop.wait(PAUSE_S):
                began = time.monotonic()
                self._send(http, self.request(number), number)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                number += 1

    def _send(self, http: httpx.Client, request: httpx.Request, number: int) -> None:
        first = number % len(self.servers)
        for server in (*self.servers[first:], *self.servers[:first]):
            request.url = request.url.copy_with(host=server.address, port=HTTP)
            request.headers["Host"] = f"{server.address}:{HTTP}"
            try:
                answer = http.send(request)
            except httpx.TransportError as error:
                self.passed_over[type(error).__name__] += 1
                continue
            self.answers.append(answer)
            if answer.status_code >= 500 or answer.status_code == 429:
                self.failed.append(f"{answer.status_code} {request.url}: {answer.text[:300]}")
            return
        self.failed.append(f"no server took {request.url}")


@dataclass(frozen=True)
class Keys:
    admin: str
    utility: str


@pytest.fixture
def lan() -> Iterator[Network]:
    with network(4) as built:
        yield built


@pytest.fixture
def workers(lan: Network, folder: Path) -> Iterator[WorkerHosts]:
    client, servers, *hosts = lan.hosts
    settings = SETTINGS | {"GRIDPROOF_MQTT_URL": mqtt_url(servers.address)}
    with worker_hosts(client, [servers], folder, settings) as started:
        for host in hosts:
            started.start(host, *WORKERS)
        yield started


def sample_portfolio() -> Portfolio:
    return portfolio_of(
        modelled_facilities(FACILITIES),
        bms_url="http://198.18.0.10:1",
        without_dedup="",
        single_phase=(),
        secret_ref="env:GRIDPROOF_SECRET_CALLBACKS",
    )


def set_up(stores: Stores) -> Keys:
    register(stores, sample_portfolio())
    return Keys(
        admin=issue_key(stores, role="admin", utility_id=None),
        utility=issue_key(stores, role="utility", utility_id=UTILITY_ID),
    )


def reading(keys: Keys) -> Callable[[int], httpx.Request]:
    def request(number: int) -> httpx.Request:
        path = READS[number % len(READS)]
        return httpx.Request("GET", f"http://web{path}", headers={"Authorization": f"Bearer {keys.admin}"})

    return request


def notifying(keys: Keys) -> Callable[[int], httpx.Request]:
    """Each notification asks for another six hours; what is sent again has the same id."""
    run, facilities = secrets.token_hex(4), [one.facility_id for one in sample_portfolio().facilities]
    begin = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)

    def request(number: int) -> httpx.Request:
        starts_at = begin + timedelta(hours=6 * (number % 1_000))
        body: dict[str, Any] = {
            "notification_id": f"n-{run}-{number}",
            "event_id": f"e-{run}-{number}",
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
            "target_reduction_kw": 20.0,
            "facility_ids": facilities,
            "priority": 1,
        }
        key = {"Authorization": f"Bearer {keys.utility}"}
        return httpx.Request("POST", "http://web/webhooks/utility/dr-notification", json=body, headers=key)

    return request


def ready(client: Host, server: Host) -> bool:
    try:
        url = f"http://{server.address}:{HTTP}/ready"
        return client.call(lambda: httpx.get(url, timeout=5.0)).status_code == 200
    except httpx.HTTPError:
        return False


def test_no_request_fails_while_every_process_is_restarted(lan: Network, workers: WorkerHosts) -> None:
    client, _, *hosts = lan.hosts
    settings = read_settings(workers.settings_of_all)

    def with_stores(use: Callable[[Stores], Any]) -> Any:
        def use_them() -> Any:
            with closing(open_stores(settings, pool_size=2)) as stores:
                return use(stores)

        return client.call(use_them)

    def wait_until_ready(host: Host) -> None:
        workers.wait("/ready", lambda: ready(client, host), STARTED_WITHIN_S)

    keys = with_stores(set_up)
    for host in hosts:
        wait_until_ready(host)
    reader, utility = (Client(client, hosts, make(keys)) for make in (reading, notifying))
    began = time.monotonic()
    with reader.running(), utility.running():
        for worker in WORKERS:
            for host in hosts:
                workers.restart(host, worker)
                if worker == "web":
                    wait_until_ready(host)
        restarted_s = time.monotonic() - began
    assert workers.ended() == {}
    assert reader.failed == []
    assert utility.failed == []
    assert len(reader.answers) > REQUESTS
    accepted = {UUID(one.json()["dr_event_id"]) for one in utility.answers if one.status_code == 202}
    assert accepted
    assert len(with_stores(lambda stores: stores.events.load_many(DREvent, list(accepted)))) == len(accepted)
    assert with_stores(verify_read_models) == []
    record(
        f"{len(WORKERS) * len(hosts)} processes restarted, {len(reader.answers) + len(utility.answers)} requests, "
        f"0 failed, {sum((reader.passed_over + utility.passed_over).values())} sent again",
        in_all=restarted_s,
        longest_request=max(reader.longest_s, utility.longest_s),
    )

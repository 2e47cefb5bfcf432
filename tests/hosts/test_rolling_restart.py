"""Every process on two hosts is restarted, one after the other, while people and a utility call: no request fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from application.facility.portfolio_entries import Portfolio
from application.operations.process_kinds import NAMES as WORKERS
from domain.dr_event import DREvent
from interfaces.bootstrap import Stores, open_stores, verify_read_models
from interfaces.demo.setup import issue_key, portfolio_of, register
from interfaces.settings.settings import read_settings
from interfaces.simulators.sample_portfolio import PROGRAM_ID, UTILITY_ID, modelled_facilities
from tests.balanced_client import BalancedClient, Requests, notifications, reads
from tests.hosts.figures import record
from tests.hosts.nats_cluster import mqtt_url
from tests.hosts.network import Host, Network, network
from tests.hosts.workers import HTTP, STARTED_WITHIN_S, WorkerHosts, worker_hosts
from tests.patience import ANSWER_S

pytestmark = pytest.mark.hosts
FACILITIES = 5
REQUESTS = 100
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
        secret_ref="env:GRIDPROOF_SECRET_CALLBACK_CITY",
    )


def set_up(stores: Stores) -> Keys:
    register(stores, sample_portfolio())
    return Keys(
        admin=issue_key(stores, role="admin", utility_id=None),
        utility=issue_key(stores, role="utility", utility_id=UTILITY_ID),
    )


def notifying(keys: Keys) -> Requests:
    return notifications(
        keys.utility,
        facility_ids=[one.facility_id for one in sample_portfolio().facilities],
        program_id=PROGRAM_ID,
        begin=datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2),
    )


def ready(client: Host, server: Host) -> bool:
    try:
        url = f"http://{server.address}:{HTTP}/ready"
        return client.call(lambda: httpx.get(url, timeout=ANSWER_S)).status_code == 200
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
    servers = [httpx.URL(f"http://{host.address}:{HTTP}") for host in hosts]
    reader, utility = (
        BalancedClient(servers, requests) for requests in (reads(keys.admin, READS), notifying(keys))
    )
    began = time.monotonic()
    with client.running(reader.run), client.running(utility.run):
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

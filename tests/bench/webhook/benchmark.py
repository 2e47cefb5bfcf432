"""Benchmark of the webhook under load: `gridproof serve`, and posts from another process in an open loop.

200 posts a second from 25 utilities. A tenth of them are new DR events of 50 facilities each, the rest are repeats. All
facilities have forecasts from the last two hours that cover the requested windows. The other workers do not run, so
accepted DR events stay in the log and none counts as queued. The floor is a route that only returns 202, on the same
server under the same load.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure, percentile
from tests.bench.webhook.load import LoadPlan, LoadReport, Sender, new_dr_events_of
from tests.bench.webhook.setup import WebhookSetup, floor_server, webhook_setup

RATE_PER_S, SECONDS = 200.0, 60
UTILITIES, FACILITIES_EACH, NEW_ONE_IN = 25, 50, 10
WINDOW = timedelta(minutes=30)
EVERY = WINDOW + timedelta(minutes=15)
"""The time between two starts: a building is restored from one DR event before it is prepared for the next."""
MIN_FULL_SCALE = 0.1
"""Below this scale the run is only a trial: two utilities of two facilities."""
LOAD_WITHIN_S = 300.0


def webhook(env: BenchEnvironment) -> Iterator[Figure]:
    """Response time from the moment the post was due: p99 and p50."""
    is_whole = env.scale >= MIN_FULL_SCALE
    utilities, each = (UTILITIES, FACILITIES_EACH) if is_whole else (2, 2)
    rate = RATE_PER_S * utilities / UTILITIES
    posts = env.sized(int(rate * SECONDS), least=30)
    env.report(f"webhook: {posts} posts, {rate:g} a second, {utilities} utilities of {each} facilities")
    with env.database() as database, webhook_setup(database, utilities=utilities, facilities=each) as setup:
        plan = _plan(setup, posts, rate)
        env.report("webhook: the floor")
        with floor_server() as floor_url:
            floor = _load(msgspec.structs.replace(plan, url=floor_url))
        env.report("webhook: ours")
        cpu_before_s = setup.cpu_s()
        ours = _load(plan)
        cpu_s = setup.cpu_s() - cpu_before_s
    for name, percent in (("p99", 99), ("p50", 50)):
        yield _figure(ours, floor, name, percent, cpu_s)


def _plan(setup: WebhookSetup, posts: int, rate: float) -> LoadPlan:
    senders = len(setup.tokens)
    return LoadPlan(
        url=setup.url,
        posts=posts,
        rate_per_s=rate,
        new_one_in=NEW_ONE_IN,
        senders=tuple(
            Sender(
                token=token,
                bodies=tuple(
                    _body(setup, number, place, setup.first_window_at + EVERY * place)
                    for place in range(1 + new_dr_events_of(number, posts, senders, NEW_ONE_IN))
                ),
            )
            for number, token in enumerate(setup.tokens)
        ),
    )


def _body(setup: WebhookSetup, utility: int, number: int, starts_at: datetime) -> str:
    document: dict[str, Any] = {
        "notification_id": str(uuid4()),
        "event_id": f"E-{utility}-{number}",
        "program": f"program-{utility}",
        "starts_at": starts_at,
        "ends_at": starts_at + WINDOW,
        "target_reduction_kw": 20.0 * len(setup.facility_ids[utility]),
        "facility_ids": setup.facility_ids[utility],
    }
    return msgspec.json.encode(document).decode()


def _load(plan: LoadPlan) -> LoadReport:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.webhook.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        timeout=LOAD_WITHIN_S,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=LoadReport)


def _figure(ours: LoadReport, floor: LoadReport, name: str, percent: float, cpu_s: float) -> Figure:
    details: dict[str, float | str] = {
        "posts": len(ours.all_ms),
        "new_dr_events": len(ours.new_ms),
        "p50_ms": round(percentile(ours.all_ms, 50), 2),
        "p95_ms": round(percentile(ours.all_ms, 95), 2),
        "p99_ms": round(percentile(ours.all_ms, 99), 2),
        "max_ms": round(max(ours.all_ms), 2),
        "new_p50_ms": round(percentile(ours.new_ms, 50), 2),
        "new_p99_ms": round(percentile(ours.new_ms, 99), 2),
        "floor_p99_ms": round(percentile(floor.all_ms, 99), 2),
        "sent_late_p99_ms": round(ours.sent_late_p99_ms, 2),
        "not_202": sum(count for status, count in ours.statuses.items() if status != "202"),
        "server_cpu_ms_a_post": round(1000 * cpu_s / len(ours.all_ms), 3),
        "statuses": ", ".join(f"{count} x {status}" for status, count in sorted(ours.statuses.items())),
        "floor": "a Litestar route that returns 202, on the same server under the same load",
    }
    return figure(
        f"webhook, {name} of a response",
        unit="ms",
        ours=percentile(ours.all_ms, percent),
        floor=percentile(floor.all_ms, percent),
        lower_is_better=True,
        details=details,
    )

"""The api benchmark runs on real processes at a small scale. Its answers are checked, not its speed."""

import socket
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.acceptance.bench.bench_runs import figures_of
from tests.bench.api.benchmark import CONNECTIONS, Case, Measuring
from tests.bench.api.load import LoadPlan, LoadReport
from tests.bench.api.load_process import load_process
from tests.bench.api.setup import ApiSetup, PlainPlan, Server
from tests.bench.environment import BenchEnvironment

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def test_every_endpoint_is_answered_by_the_api_the_floor_and_the_twin() -> None:
    figures = {found["name"]: found for found in figures_of("api", scale="0.01")}
    assert len(figures) == 4
    for name, found in figures.items():
        assert min(found["ours"], found["floor"], found["ratio"]) > 0, name
        details = found["details"]
        assert (details["not 200"], details["floor not 200"], details["twin not 200"]) == (0, 0, 0), name
        assert details["ratio to the twin"] > 0
        assert 0 < details["p50_ms at half of it"] <= details["p99_ms at half of it"]
        assert details["cpu share of the load"] > 0
    tagged = figures["api, dr-events, not changed (304)"]["details"]
    # On a very busy machine no connection may get to send a second request.
    first_round = tagged["statuses"] == f"{CONNECTIONS} x 200"
    assert "304" in tagged["statuses"] or first_round
    assert tagged["bytes an answer"] < tagged["floor bytes an answer"]


def test_refused_requests_are_counted_in_all_rounds_not_only_the_best() -> None:
    answers_of = {
        1: iter([10, 5, 20, 9, 15]),
        2: iter([10, 20, 20, 20, 20]),
    }  # by port: warm-up, two rounds, two at half the rate

    def ask(plan: LoadPlan) -> LoadReport:
        answered = next(answers_of[plan.ports[0]])
        return LoadReport(
            answered=answered,
            elapsed_s=1.0,
            statuses={"200": answered, "429": 20 - answered},
            p50_ms=1.0,
            p99_ms=20.0 - answered,
            sent_late_p99_ms=0.0,
            cpu_share=0.5,
            bytes_each=1.0,
        )

    nothing = PlainPlan(port=0, database_url="", redis_url="", readings_since=datetime.now(UTC), dr_events=())
    setup = ApiSetup(
        tokens=("t",),
        facility_ids=(),
        dr_event_ids=(),
        cache="none",
        _environ={},
        _plain=nothing,
        _owner_url="",
    )
    measuring = Measuring(BenchEnvironment(pytest.fail, scale=0.2), setup, ask)
    servers = {"ours": Server(ports=(1,), pids=()), "floor": Server(ports=(2,), pids=())}
    found = measuring.figure_of(Case("portfolio", ("/api/portfolio",)), servers)

    assert (found.ours, found.details["not 200"], found.details["floor not 200"]) == (20.0, 15 + 11 + 5, 0)
    assert (found.details["p99_ms at half of it"], found.details["its worst round"]) == (11.0, 11.0)
    assert found.details["statuses"] == "25 x 200, 15 x 429"


def test_a_load_that_reports_nothing_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.api.load_process.REPORTED_WITHIN_S", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, load_process() as ask:
        plan = LoadPlan(
            ports=(silent.getsockname()[1],), tokens=("t",), paths=("/",), first=0, seconds=1.0, connections=1
        )
        with pytest.raises(RuntimeError, match=r"reported nothing in 0\.1 s"):
            ask(plan)

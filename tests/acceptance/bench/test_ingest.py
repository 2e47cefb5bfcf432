"""The ingest benchmarks run on real servers and processes at a small scale; the tests check that nothing is lost."""

import shutil
from typing import Any

import pytest

from tests.acceptance.bench.bench_runs import figures_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def measured(name: str) -> list[dict[str, Any]]:
    found = figures_of(name)
    for one in found:
        assert min(one["ours"], one["floor"], one["ratio"]) > 0
    return found


@pytest.mark.parametrize("name", ["ingest", pytest.param("ingest-mosquitto", marks=pytest.mark.slow)])
def test_every_reading_of_each_shape_is_stored_once_and_each_hop_has_its_cost(name: str) -> None:
    found = measured(name)
    if name == "ingest-mosquitto" and shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is None:
        assert found == []
        return
    costs, latencies = found[::2], found[1::2]
    assert [one["unit"] for one in costs] == ["us"] * 3
    for cost, latency in zip(costs, latencies, strict=True):
        details = cost["details"]
        assert (details["lost"], details["duplicated"], details["foreign"]) == (0, 0, 0)
        assert details["readings"] >= 80
        assert details["over the API: asked"] >= 1
        hops = [
            details[f"{hop} us"] for hop in ("broker", "ingest", "nats", "aggregate", "postgres", "valkey")
        ]
        assert sum(hops) == pytest.approx(cost["ours"], rel=0.01)
        assert 0 < latency["details"]["p50_ms"] <= latency["ours"] <= latency["details"]["max_ms"]


def test_the_idempotent_write_is_compared_with_copy_at_each_table_size() -> None:
    found = measured("ingest-write")
    assert [one["name"] for one in found] == [
        f"idempotent write at {size} readings, {shape}"
        for size in (1_000, 10_000)
        for shape in ("gateways of 10", "single meters")
    ]
    assert all("ratio to that" in one["details"] for one in found)

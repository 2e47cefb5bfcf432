"""The forecast benchmark runs at a small scale. No figure is checked."""

import pytest

from tests.acceptance.bench.bench_runs import figures_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def test_each_part_of_a_cycle_is_compared_with_one_facility_at_a_time() -> None:
    training, *cycles = figures_of("forecast")
    assert training["name"] == "forecast-train"
    assert training["details"]["daily_update_ms_cpu"] > 0
    assert len(cycles) == 3
    for found in cycles:
        parts = [found["details"][f"{part}_s"] for part in ("read", "compute", "write")]
        assert min(parts) > 0
        assert sum(parts) < found["ours"]
        assert found["ratio"] > 0

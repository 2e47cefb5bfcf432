"""The read-side benchmarks run at a small scale. No figure is checked, only that no read failed."""

from typing import Any

import pytest

from projections.registry import PROJECTIONS
from tests.acceptance.bench.bench_runs import figures_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def _figures(name: str) -> dict[str, Any]:
    return {found["name"]: found for found in figures_of(name)}


def test_rebuilds_are_measured_while_another_process_reads() -> None:
    figures = _figures("rebuild")
    assert {found["details"]["read model"] for found in figures.values()} == {
        "dr_events",
        "dispatches",
        "audit_trail",
    }
    for found in figures.values():
        assert found["ratio"] == pytest.approx(found["ours"] / found["floor"], rel=0.01)
        assert found["details"]["reads"] > 0
        assert (found["details"]["failed reads"], found["details"]["empty reads"]) == (0, 0)


def test_catching_up_is_measured_for_each_read_model() -> None:
    assert set(_figures("project")) == {"project dr_events", "project dispatches", "project audit_trail"}


def test_lag_is_measured_for_one_read_model_and_for_all_together() -> None:
    beside = {f"lag beside all others, {projection.name}, p99" for projection in PROJECTIONS}
    assert set(_figures("lag")) == {"lag, p50", "lag, p99"} | beside

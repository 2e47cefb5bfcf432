"""The dispatch benchmark runs at a small scale. No figure is checked."""

from contextlib import nullcontext
from typing import Any

import pytest

from tests.acceptance.bench.bench_runs import figures_of
from tests.acceptance.conftest import FreshDatabase

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


@pytest.fixture(scope="module")
def figures(bench_server: FreshDatabase) -> dict[str, dict[str, Any]]:
    """Name -> figure of one run over two buildings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.bench.setup.bench_databases", lambda: nullcontext(bench_server))
        return {one["name"]: one for one in figures_of("dispatch", scale="0.004")}


@pytest.mark.parametrize("phase", ["commit phase", "end phase"])
def test_the_dispatch_benchmark_reports_its_figure_with_theory_and_floor(
    figures: dict[str, dict[str, Any]], phase: str
) -> None:
    found = figures[f"dispatch, {phase}"]
    assert found["unit"] == "s"
    assert found["details"]["calls"] == 6
    assert min(found["ours"], found["floor"]) >= found["details"]["theory_s"] > 0


def test_the_dispatch_workers_share_the_commands(figures: dict[str, dict[str, Any]]) -> None:
    details = figures["dispatch, commit phase"]["details"]
    assert details["worker_1_share"] + details["worker_2_share"] == pytest.approx(1, abs=0.01)


def test_what_disturbs_a_start_is_compared_with_a_run_undisturbed(
    figures: dict[str, dict[str, Any]],
) -> None:
    silent = "beside a utility that never answers"
    hangs, polls = "beside a building that hangs", "beside polls"
    for beside in (hangs, polls):
        assert (
            figures[f"dispatch, commit phase {beside}"]["floor"] == figures["dispatch, commit phase"]["ours"]
        )
    assert figures[f"dispatch, commit phase {polls}"]["details"]["polls"] == 8
    for what in ("commit phase", "callbacks of others"):
        details = figures[f"dispatch, {what} {silent}"]["details"]
        assert details["callbacks_open"] == 40
        assert details["times_undisturbed"] > 0


def test_spans_to_a_collector_and_to_one_that_is_away_are_compared_with_runs_without() -> None:
    sent, away = figures_of("dispatch-traced", scale="0.004")
    assert {one["unit"] for one in (sent, away)} == {"CPU s"}
    assert sent["floor"] == away["floor"]
    assert sent["details"]["spans"] >= sent["details"]["calls"]
    assert away["details"]["spans"] == 0

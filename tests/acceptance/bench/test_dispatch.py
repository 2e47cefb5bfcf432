"""The dispatch benchmark runs at a small scale. No figure is checked."""

import pytest

from tests.acceptance.bench.bench_runs import figures_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def test_the_dispatch_benchmark_reports_its_figure_with_theory_and_floor() -> None:
    [found] = figures_of("dispatch", scale="0.004")
    assert (found["name"], found["unit"]) == ("dispatch, commit phase", "s")
    assert found["details"]["calls"] == 6
    assert min(found["ours"], found["floor"]) >= found["details"]["theory_s"] > 0


def test_spans_to_a_collector_and_to_one_that_is_away_are_compared_with_runs_without() -> None:
    sent, away = figures_of("dispatch-traced", scale="0.004")
    assert {one["unit"] for one in (sent, away)} == {"CPU s"}
    assert sent["floor"] == away["floor"]
    assert sent["details"]["spans"] >= sent["details"]["calls"]
    assert away["details"]["spans"] == 0

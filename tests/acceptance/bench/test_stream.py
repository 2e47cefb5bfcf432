"""The stream benchmark runs on real processes at a small scale. Its answers are checked, not its speed."""

import pytest

from tests.acceptance.bench.bench_runs import figures_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def test_every_message_arrives_at_every_client() -> None:
    figures = figures_of("stream", scale="0.01")
    assert [found["name"] for found in figures] == [
        "stream, commit to screen, p99",
        "stream, commit to screen, p50",
    ]
    for found in figures:
        assert min(found["ours"], found["floor"], found["ratio"]) > 0
    details = figures[0]["details"]
    assert details["messages"] == details["screens"] * details["commits"] == 10 * 5

"""The webhook benchmark runs on real processes at a small scale; responses are checked, latencies are not."""

import pytest

from tests.acceptance.bench.bench_runs import figures_of
from tests.bench.figures import percentile
from tests.bench.webhook.load import new_dr_events_of

pytestmark = pytest.mark.usefixtures("benches_share_a_server")


def test_every_post_of_the_load_is_accepted() -> None:
    figures = figures_of("webhook")
    assert [found["name"] for found in figures] == [
        "webhook, p99 of a response",
        "webhook, p50 of a response",
    ]
    for found in figures:
        assert min(found["ours"], found["floor"], found["ratio"]) > 0
    details = figures[0]["details"]
    assert details["posts"] == 30
    assert details["new_dr_events"] == sum(new_dr_events_of(sender, 30, 2, 10) for sender in range(2)) > 0
    assert details["not_202"] == 0, details["statuses"]


def test_every_sender_has_its_share_of_new_dr_events() -> None:
    shares = [new_dr_events_of(sender, 12_000, 25, 10) for sender in range(25)]
    assert (sum(shares), min(shares), max(shares)) == (1_200, 48, 48)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([], 99) == 0.0

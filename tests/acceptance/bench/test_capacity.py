"""The capacity run at a small scale: the whole system is measured beside what is predicted of it."""

import pytest

from application.operations.sizing.measured import PROCESSOR
from tests.acceptance.bench.bench_runs import figures_of
from tests.patience import whole_system


@pytest.mark.usefixtures("benches_share_a_server")
def test_every_process_is_measured_beside_what_is_predicted_of_it() -> None:
    with whole_system():
        figures = figures_of("capacity-run", scale="0.015")
    found = {one["name"].removeprefix("capacity-run, "): one for one in figures}
    for name in PROCESSOR:
        for what in ("processor", "memory"):
            assert found[f"{what} of {name}"]["floor"] > 0
        assert found[f"memory of {name}"]["ours"] > 1, "it runs"
    connections = found["connections"]
    assert 20 < connections["ours"] <= connections["floor"]
    assert found["readings"]["ours"] > 0

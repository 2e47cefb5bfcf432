"""Each benchmark runs at a small scale and gives figures with a floor. No figure is checked."""

import pytest
from click.testing import CliRunner

from tests.acceptance.bench.bench_runs import document_of
from tests.bench.figures import figure
from tests.bench.run import bench


@pytest.mark.usefixtures("benches_share_a_server")
@pytest.mark.parametrize("name", ["append", "append-batch", "command"])
def test_a_benchmark_gives_its_figures_as_json(name: str) -> None:
    assert any(floor.startswith("pgbench") for floor in floors_of(name))


def test_a_benchmark_starts_a_server_of_its_own() -> None:
    assert floors_of("load-aggregate") == {}


@pytest.mark.usefixtures("benches_share_a_server")
def test_settling_is_measured_as_a_whole_and_after_a_correction_of_one_facility() -> None:
    figures = document_of("settle")["figures"]
    assert [one["name"] for one in figures] == ["settle", "settle, one facility corrected"]
    assert all(min(one["ours"], one["floor"], one["ratio"]) > 0 for one in figures)


def floors_of(name: str) -> dict[str, float]:
    """The rates of all floors; the whole document is checked first."""
    document = document_of(name)
    assert document["scale"] == 0.001
    assert document["figures"]
    for found in document["figures"]:
        assert found["name"].startswith(name.removesuffix("-batch"))
        assert min(found["ours"], found["floor"], found["ratio"]) > 0
        assert found["ratio"] == pytest.approx(found["ours"] / found["floor"], rel=0.01)
        assert found["stock_ratio"] == pytest.approx(found["stock"] / found["floor"], rel=0.01)
    floors = {
        name: rate for name, rate in document["figures"][0]["details"].items() if name.endswith(", per s")
    }
    if floors:  # of the plain INSERT clients the fastest is the floor
        assert max(floors.values()) == pytest.approx(document["figures"][0]["floor"], rel=0.01)
    return floors


def test_an_unknown_benchmark_is_a_usage_error() -> None:
    result = CliRunner().invoke(bench, ["nonsense"])
    assert result.exit_code == 2
    assert "append-batch" in result.output


def test_the_ratio_of_times_is_floor_divided_by_ours() -> None:
    assert figure("lag", unit="ms", ours=20.0, floor=5.0, lower_is_better=True).ratio == 0.25
    assert figure("rate", unit="1/s", ours=20.0, floor=5.0, stock=2.5).stock_ratio == 0.5
    with pytest.raises(ValueError, match="nothing was measured"):
        figure("none", unit="1/s", ours=0.0, floor=5.0)

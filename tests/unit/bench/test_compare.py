"""The comparison of two checkouts: the figures that count as worse."""

from pathlib import Path

import orjson
import pytest

from tests.bench.compare import row, table


def figure(ratio: float) -> dict[str, object]:
    return {"name": "append", "unit": "1/s", "ours": ratio * 100, "floor": 100.0, "ratio": ratio}


@pytest.mark.parametrize(
    ("base", "now", "verdict"),
    [
        ([1.0, 1.1, 1.2], [0.9, 0.95, 0.97], "worse by 14%"),
        ([0.8, 1.1, 1.2], [0.9, 0.95, 0.97], ""),  # within the spread of the base
        ([1.0, 1.1, 1.2], [1.0, 1.05, 1.1], ""),  # by less than a tenth
        ([1.0, 1.1, 1.2], [1.5, 1.6, 1.7], ""),
    ],
)
def test_a_figure_is_worse_beyond_a_tenth_and_the_spread_of_the_base(
    base: list[float], now: list[float], verdict: str
) -> None:
    cells = row([figure(one) for one in base], [figure(one) for one in now]).split(" | ")
    assert cells[-1].removesuffix(" |").strip() == verdict


@pytest.mark.parametrize(("now_ms", "floor_ms"), [(20.0, 5.0), (30.0, 15.0)])
def test_a_time_is_worse_only_if_its_ratio_to_the_floor_is_too(now_ms: float, floor_ms: float) -> None:
    """The floor of the base is 10 ms. A faster floor or a slower machine alone makes no figure worse."""

    def lag(ours: float, floor: float) -> dict[str, object]:
        return {"name": "lag", "unit": "ms", "ours": ours, "floor": floor, "ratio": floor / ours}

    base = [lag(20.0, 10.0), lag(21.0, 10.0), lag(20.0, 10.0)]
    assert "worse" not in row(base, [lag(now_ms, floor_ms)] * 3)
    assert "worse by 33%" in row(base, [lag(30.0, 10.0)] * 3)


def test_the_table_has_a_row_for_each_figure_of_a_benchmark(tmp_path: Path) -> None:
    for side in ("base", "now"):
        for number in range(3):
            document = {"scale": 1.0, "figures": [figure(1.0), figure(2.0)]}
            (tmp_path / f"append-{side}-{number}.json").write_bytes(orjson.dumps(document))
    assert len(list(table(tmp_path, ["append", "command"]))) == 4

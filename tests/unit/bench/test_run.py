"""`make bench` records each figure as soon as it is measured."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import run
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure


def interrupted(_: BenchEnvironment) -> Iterator[Figure]:
    yield figure("append, 1 callers", unit="saves/s", ours=2.0, floor=4.0)
    raise KeyboardInterrupt


def test_a_figure_survives_an_interruption_of_its_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "figures.jsonl"
    monkeypatch.setattr("tests.bench.setup.bench_databases", lambda: nullcontext(None))
    monkeypatch.setattr(run, "benchmark_named", lambda _: interrupted)

    result = CliRunner().invoke(run.bench, ["append", "--scale", "0.5", "--output", str(output)])

    assert result.exit_code == 1
    [line] = output.read_text().splitlines()
    recorded = json.loads(line)
    assert (recorded["name"], recorded["ratio"], recorded["scale"]) == ("append, 1 callers", 0.5, 0.5)
    assert "append, 1 callers: 2 saves/s, ratio 0.5" in result.stderr

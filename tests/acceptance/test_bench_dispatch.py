"""`gridproof bench dispatch` runs, however small: real workers, a real queue, SOAP buildings in other processes."""

import json

from click.testing import CliRunner

from interfaces.cli import main


def test_the_dispatch_benchmark_gives_its_figure_beside_theory_and_floor() -> None:
    result = CliRunner().invoke(
        main, ["bench", "dispatch", "--json", "--scale", "0.004"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)["figures"]
    assert (found["name"], found["unit"]) == ("dispatch, commit phase", "s")
    assert found["details"]["calls"] == 6
    assert min(found["ours"], found["floor"]) >= found["details"]["theory_s"] > 0

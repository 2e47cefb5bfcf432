"""`gridproof bench api` runs on real processes, however small; how fast it was is not judged here, its answers are."""

import json

from click.testing import CliRunner

from interfaces.bench.api import CONNECTIONS
from interfaces.cli import main


def test_every_endpoint_is_answered_by_the_door_the_floor_and_the_twin() -> None:
    result = CliRunner().invoke(main, ["bench", "api", "--json", "--scale", "0.01"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    figures = {found["name"]: found for found in json.loads(result.stdout)["figures"]}
    assert len(figures) == 4
    for name, found in figures.items():
        assert min(found["ours"], found["floor"], found["ratio"]) > 0, name
        details = found["details"]
        assert (details["not 200"], details["floor not 200"], details["twin not 200"]) == (0, 0, 0), name
        assert details["ratio to the twin"] > 0
        assert 0 < details["p50_ms at half of it"] <= details["p99_ms at half of it"]
        assert details["cpu share of the load"] > 0
    tagged = figures["api, dr-events, not changed (304)"]["details"]
    # On a machine that is very busy no connection comes to ask a second time.
    first_round = tagged["statuses"] == f"{CONNECTIONS} x 200"
    assert "304" in tagged["statuses"] or first_round
    assert tagged["bytes an answer"] < tagged["floor bytes an answer"]

"""`gridproof bench stream` runs on real processes, however small; how fast it was is not judged here."""

import json

from click.testing import CliRunner

from interfaces.cli import main


def test_every_message_comes_to_every_screen() -> None:
    result = CliRunner().invoke(
        main, ["bench", "stream", "--json", "--scale", "0.01"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["figures"]
    assert [found["name"] for found in figures] == [
        "stream, commit to screen, p99",
        "stream, commit to screen, p50",
    ]
    for found in figures:
        assert min(found["ours"], found["floor"], found["ratio"]) > 0
    details = figures[0]["details"]
    assert details["messages"] == details["screens"] * details["commits"] == 10 * 5

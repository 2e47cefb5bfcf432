"""Servers killed with -9 while a DR event runs: the same end, and the buildings never notice."""

from pathlib import Path

import pytest

from tests.demo_runs import SMALL, run_demo_killing


@pytest.mark.parametrize("server", ["postgres", "nats-server", "valkey-server"])
def test_a_server_killed_while_commands_are_under_way_changes_nothing_of_the_end(
    server: str, tmp_path: Path
) -> None:
    run = run_demo_killing(server, *SMALL, data_dir=tmp_path / "data", when="the DR event is active")
    assert run.faults == [], run.said
    assert run.status == 0
    assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
    assert run.document["duplicate_bms_commands"] == 0
    assert run.document["curtailed_after_end"] == 0

"""Servers killed with -9 while a DR event runs: the same result, without any effect on the buildings."""

from pathlib import Path

import pytest

from tests.demo_runs import KILLED, run_demo_killing

pytestmark = pytest.mark.chaos
PREPARING, ACTIVE, RECOVERING = (
    f"the DR event is {status}" for status in ("preparing", "active", "recovering")
)
WHEN = {
    "nats-server and postgres while commits are under way, valkey-server in recovery": {
        "nats-server": PREPARING,
        "postgres": ACTIVE,
        "valkey-server": RECOVERING,
    },
}


@pytest.mark.parametrize("when", WHEN.values(), ids=WHEN.keys())
def test_servers_killed_while_commands_are_in_progress_do_not_change_the_outcome(
    when: dict[str, str], tmp_path: Path
) -> None:
    has_the_same_end(when, tmp_path)


@pytest.mark.parametrize("server", ["postgres", "nats-server", "valkey-server"])
def test_one_server_killed_while_commands_are_in_progress_does_not_change_the_outcome(
    server: str, tmp_path: Path
) -> None:
    has_the_same_end({server: ACTIVE}, tmp_path)


def has_the_same_end(when: dict[str, str], folder: Path) -> None:
    run = run_demo_killing(*KILLED, data_dir=folder / "data", when=when)
    assert run.faults == [], run.said
    assert run.status == 0
    assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
    assert run.document["duplicate_bms_commands"] == 0
    assert run.document["curtailed_after_end"] == 0

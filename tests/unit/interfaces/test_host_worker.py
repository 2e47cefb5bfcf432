"""HostWorker: its thread ends when it is told to, whenever that is."""

import threading
import time
from pathlib import Path

import pytest

from interfaces.bootstrap import spawn_child
from interfaces.settings.settings import Settings
from interfaces.system.host_worker import HISTORY_MOST_MEMORY, HostWorker
from tests.patience import END_S

WITHIN_S = 120.0


@pytest.mark.parametrize("is_started", [True, False])
def test_it_can_be_stopped_before_its_thread_has_begun(is_started: bool, tmp_path: Path) -> None:
    host = HostWorker(Settings(data_dir=tmp_path), ["gridproof"], runs_broker=False)
    if is_started:
        host.start()
    host.stop()
    deadline = time.monotonic() + WITHIN_S  # a busy machine may not end it within the wait of `stop`
    while any(one.name == "host tasks" for one in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread runs on"
        time.sleep(0.05)
    host.stop()


def test_the_process_of_a_task_has_a_limit_of_memory(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        spawn_child(["sh", "-c", "ulimit -v"], output=output, most_memory=HISTORY_MOST_MEMORY).wait(END_S)
    assert int((tmp_path / "log").read_text()) << 10 == HISTORY_MOST_MEMORY

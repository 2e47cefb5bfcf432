"""HostWorker: its thread ends when it is told to, whenever that is."""

import threading
import time
from pathlib import Path

import pytest

from interfaces.settings.settings import Settings
from interfaces.system.host_worker import HostWorker

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

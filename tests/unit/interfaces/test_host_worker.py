"""HostWorker: its thread ends when it is told to, whenever that is."""

import threading
from pathlib import Path

import pytest

from interfaces.settings.settings import Settings
from interfaces.system.host_worker import HostWorker


@pytest.mark.parametrize("is_started", [True, False])
def test_it_can_be_stopped_before_its_thread_has_begun(is_started: bool, tmp_path: Path) -> None:
    host = HostWorker(Settings(data_dir=tmp_path), ["gridproof"], runs_broker=False)
    if is_started:
        host.start()
    host.stop()
    host.stop()
    assert not [one for one in threading.enumerate() if one.name == "host tasks"]

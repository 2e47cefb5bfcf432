"""JSON logs: one object per line, also for values that the fast encoder refuses."""

import json
import signal
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from interfaces.logs import as_json
from tests.patience import START_S

PROGRAM = """
import structlog
from interfaces.logs import configure_logs
from interfaces.settings.settings import Settings
configure_logs(Settings(log_json=True), process="relay")
structlog.get_logger("x").warning("trying again", error="StreamUnavailable", number=3)
"""


def test_a_line_contains_the_event_level_time_and_process() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=START_S)
    line = json.loads(ended.stderr)
    assert line.keys() == {"event", "error", "number", "level", "timestamp", "process"}
    assert (line["event"], line["level"], line["process"]) == ("trying again", "warning", "relay")


def test_a_process_that_crashes_leaves_the_stacks_of_its_threads() -> None:
    program = (
        f"{PROGRAM}\nimport os, signal\ndef crash():\n    os.kill(os.getpid(), signal.SIGSEGV)\ncrash()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=START_S)
    assert ended.returncode == -signal.SIGSEGV
    assert b"Fatal Python error: Segmentation fault" in ended.stderr
    assert b" in crash\n" in ended.stderr


@pytest.mark.parametrize("value", ["\udc80", 2**70, {1: "one"}, float("nan"), {"a"}, UUID(int=1)])
def test_a_value_of_any_type_can_be_logged(value: Any) -> None:
    assert json.loads(as_json({"event": "seen", "value": value}, default=repr))["event"] == "seen"

"""Startup objects are excluded from garbage collection. The test uses a process of its own: the setting is global."""

import subprocess
import sys

PROGRAM = """
import gc
from interfaces.bootstrap.gc_tuning import FULL_COLLECTION_ONE_IN, freeze_startup_objects
there = len(gc.get_objects())
freeze_startup_objects("http://127.0.0.1:1")
assert gc.isenabled()
assert gc.get_freeze_count() > 0.9 * there, (gc.get_freeze_count(), there)
assert len(gc.get_objects()) < 0.1 * there, "what a full collection walks"
assert gc.get_threshold()[2] == FULL_COLLECTION_ONE_IN
"""


def test_a_full_collection_does_not_traverse_startup_objects() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

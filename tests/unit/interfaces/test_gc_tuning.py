"""Garbage is collected seldom. The test uses a process of its own: the setting is global."""

import subprocess
import sys

PROGRAM = """
import gc
from interfaces.gc_tuning import FULL_COLLECTION_ONE_IN, YOUNGEST, collect_garbage_seldom
before = gc.get_threshold()
collect_garbage_seldom()
assert gc.isenabled()
assert gc.get_threshold() == (YOUNGEST, before[1], FULL_COLLECTION_ONE_IN)
assert YOUNGEST > before[0] and FULL_COLLECTION_ONE_IN > before[2]
"""


def test_a_process_collects_garbage_seldom() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""`.ci/test` over planted tests: what fails once only is named and does not fail the check; all else does."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.architecture.source_tree import ROOT

WITHIN_S = 600.0
ONCE = """
import os, pathlib, pytest
HERE = pathlib.Path(__file__).parent

def is_first(name):
    mark = HERE / f"{name}.ran"
    was = mark.exists()
    mark.touch()
    return not was
"""
FAILS_ONCE = """
def test_fails_once():
    assert not is_first("call"), "the load was high"
"""
ERROR_ONCE = """
@pytest.fixture
def server():
    if is_first("setup"):
        raise RuntimeError("the server did not start")

def test_error_in_setup(server):
    pass
"""
CRASHES_ONCE = """
def test_crashes_once():
    if is_first("crash"):
        os._exit(1)
"""
ID_WITH_BLANKS = """
@pytest.mark.parametrize("kw", [1], ids=["two words - and a dash"])
def test_named(kw):
    assert not is_first("named"), "first"
"""
GOOD = "def test_good():\n    pass\n"
BROKEN = 'def test_broken():\n    assert False, "wrong in money"\n'
CRASHES = """
import os, time

def test_crashes():
    time.sleep(0.5)
    os._exit(1)

def test_after_the_crash():
    pass
"""
SIX = ONCE + (
    '@pytest.mark.parametrize("n", range(6))\ndef test_each(n):\n    assert not is_first(str(n)), "once"\n'
)


class Check(NamedTuple):
    code: int
    said: str

    @property
    def table(self) -> str:
        """What is printed after the last test was run again."""
        return self.said.rpartition("again, alone: ")[2]


RunCheck = Callable[..., Check]


@pytest.fixture
def check() -> Iterator[RunCheck]:
    """`check(test_x="SOURCE")` runs `.ci/test` on a folder of these files. The folder is below this one's root, so that
    the ids of its tests are those that pytest takes again."""
    folder = ROOT / "build" / f"planted-{secrets.token_hex(6)}"

    def run(**files: str) -> Check:
        folder.mkdir(parents=True)
        for name, source in files.items():
            (folder / f"{name}.py").write_text(source)
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))
        }
        tests = folder.relative_to(ROOT)
        outcome = subprocess.run(
            [".ci/test", f"PYTHON={sys.executable}", "BESIDE=2", f"TESTS={tests}"],
            cwd=ROOT,
            env=outside | {"RECORD": str(folder / "record")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Check(outcome.returncode, outcome.stdout)

    yield run
    shutil.rmtree(folder, ignore_errors=True)


def test_tests_that_fail_once_are_named_as_unsteady_and_the_check_passes(check: RunCheck) -> None:
    found = check(
        test_call=ONCE + FAILS_ONCE,
        test_setup=ONCE + ERROR_ONCE,
        test_crash=ONCE + CRASHES_ONCE,
        test_id=ONCE + ID_WITH_BLANKS,
    )
    assert found.code == 0, found.said
    assert "unsteady (alone it passed): 4" in found.table
    for test in ("test_fails_once", "test_error_in_setup", "test_crashes_once"):
        assert f"::{test}\n" in found.table
    assert "::test_named[two words - and a dash]\n" in found.table
    for line in ("the load was high", "the server did not start", "crashed while running"):
        assert line in found.table
    assert "assert not is_first" in found.said.partition("again, alone: ")[0], "its first failure stays"


def test_a_test_that_fails_again_fails_the_check_and_is_named(check: RunCheck) -> None:
    found = check(test_call=ONCE + FAILS_ONCE, test_broken=BROKEN)
    assert found.code != 0
    broken, _, unsteady = found.table.partition("unsteady (alone it passed): 1")
    assert "broken (failed again, alone): 1" in broken
    assert "::test_broken\n" in broken
    assert "wrong in money" in broken
    assert "::test_fails_once\n" in unsteady


def test_after_a_crash_the_other_tests_run_and_the_crashed_one_is_broken(check: RunCheck) -> None:
    found = check(test_a=GOOD, test_b=GOOD, test_c=CRASHES, test_d=GOOD)
    assert found.code != 0
    assert "1 failed, 4 passed" in found.said
    assert "broken (failed again, alone): 1" in found.table
    assert "::test_crashes\n" in found.table


def test_a_sixth_unsteady_test_fails_the_check(check: RunCheck) -> None:
    found = check(test_six=SIX)
    assert found.code != 0
    assert "unsteady (alone it passed): 6" in found.table
    assert "more than 5 unsteady tests" in found.table


def test_an_error_of_collection_fails_the_check_and_runs_nothing_again(check: RunCheck) -> None:
    found = check(test_good=GOOD, test_import="import no_such_module_at_all\n")
    assert found.code != 0
    assert "broken: not collected: " in found.said
    assert "again, alone: " not in found.said


def test_a_run_whose_process_died_fails_the_check(check: RunCheck) -> None:
    found = check(
        test_dies="import os, signal\n\ndef test_dies():\n    os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    assert found.code != 0
    assert "broken: the run did not end" in found.said


def test_without_a_failed_test_nothing_is_run_again(check: RunCheck) -> None:
    found = check(test_good=GOOD)
    assert found.code == 0, found.said
    assert "1 passed" in found.said
    assert "again, alone: " not in found.said
    assert "unsteady" not in found.said

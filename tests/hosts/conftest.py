"""Fixtures of the tests with several hosts."""

from __future__ import annotations

import faulthandler
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import figures


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With a short path: PostgreSQL's sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="gp-hosts-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture(autouse=True)
def without_dump(request: pytest.FixtureRequest) -> None:
    """The long ones take longer than what pytest's faulthandler_timeout takes for a deadlock."""
    if request.node.get_closest_marker("hosts"):
        faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seconds that the tests measured."""
    for line in figures.of_this_run():
        terminalreporter.write_line(line)

"""The progress output of a long command, on a terminal and elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.acceptance.cli.terminal import Terminal
from tests.architecture.source_tree import ROOT
from tests.patience import END_S
from tests.servers import Database


def _on_a_pseudo_terminal(terminal: Terminal, *arguments: str) -> str:
    """Everything that a command writes to its pseudo terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from interfaces.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**os.environ, **terminal.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            some = os.read(ours, 65_536)
        except OSError:  # Linux reports the end of a pseudo terminal by this error
            break
        if not some:
            break
        said += some
    os.close(ours)
    assert process.wait(END_S) == 0, said
    return said.decode()


def test_a_rebuild_shows_a_bar_with_its_rate_on_a_terminal(database: Database, tmp_path: Path) -> None:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    said = _on_a_pseudo_terminal(terminal, "projections", "rebuild", "facilities")
    assert "━" in said
    assert "/s" in said
    assert "swapped in" in said


def test_a_rebuild_reports_its_progress_in_plain_lines_without_a_terminal(
    database: Database, tmp_path: Path
) -> None:
    terminal = Terminal(database, tmp_path)
    terminal.import_portfolio()
    result = terminal.run("projections", "rebuild", "facilities")
    assert result.exit_code == 0
    assert "facilities: " in result.stderr
    assert "━" not in result.stderr

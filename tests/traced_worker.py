"""`python -m tests.traced_worker --calls FILE ARGUMENTS`: `gridproof ARGUMENTS`, which writes its calls into FILE.

From the moment that FILE.begin exists, it writes each function of the product that another file calls, once, as
`<time> <file>::<name>`; the time is that of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import TextIO

import click

from interfaces.cli import main as gridproof
from tests.architecture.source_tree import PACKAGES, ROOT

FOLDERS = tuple(f"{ROOT / package}/" for package in PACKAGES)


class CallRecorder:
    """A profile function: it sees every call of every thread."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._recorded: set[CodeType] = set()
        self.is_on = False

    def __call__(self, frame: FrameType, kind: str, argument: object) -> None:
        code = frame.f_code
        if not self.is_on or kind != "call" or code in self._recorded:
            return
        if code.co_filename.startswith(FOLDERS) and _calling_file(frame) != code.co_filename:
            self._recorded.add(code)
            place = Path(code.co_filename).relative_to(ROOT)
            name = code.co_qualname.replace(".<locals>", "")
            self._output.write(f"{time.monotonic_ns()} {place}::{name}\n")

    def begin(self, once_there: Path) -> None:
        threading.Thread(target=self._wait, args=(once_there,), daemon=True).start()
        threading.setprofile(self)
        sys.setprofile(self)

    def _wait(self, there: Path) -> None:
        while not there.exists():
            time.sleep(0.05)
        self.is_on = True


def _calling_file(frame: FrameType) -> str | None:
    """The nearest file of the product on the stack; None: a loop or a thread made the call."""
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(FOLDERS):
        caller = caller.f_back
    return None if caller is None else caller.f_code.co_filename


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--calls", type=click.Path(path_type=Path), required=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def traced_worker(*, calls: Path, arguments: tuple[str, ...]) -> None:
    """Run `gridproof ARGUMENTS` and write its calls."""
    with calls.open("w", buffering=1) as output:
        CallRecorder(output).begin(Path(f"{calls}.begin"))
        gridproof(args=list(arguments), prog_name="gridproof")


if __name__ == "__main__":
    traced_worker()

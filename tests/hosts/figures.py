"""The measured seconds: printed at the end of a run, and appended to build/hosts.jsonl for docs/benchmarks.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.demo_runs import ROOT

FILE = ROOT / "build/hosts.jsonl"
_lines: list[str] = []


def record(what: str, **seconds: float) -> None:
    """`record("primary cut off", writes_again=20.5)`."""
    figures = {name: round(value, 1) for name, value in seconds.items()}
    _lines.append(f"{what}: {', '.join(f'{name} {value} s' for name, value in figures.items())}")
    FILE.parent.mkdir(exist_ok=True)
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, "seconds": figures}
    with FILE.open("a") as file:
        file.write(json.dumps(line) + "\n")


def of_this_run() -> list[str]:
    """One line for each `record` of this process."""
    return list(_lines)

"""The table of planted bugs in docs/simulation.md; run as a script with `--write` to update it."""

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "simulation.md"
BEGIN = "| planted bug | what it does | first seed | what broke |"
ROW = re.compile(r"^\| `(?P<bug>[a-z-]+)` \| .* \| (?P<seed>\d+) \| (?P<broke>.*) \|$")
SEEDS_TRIED = 2_000


class Caught(NamedTuple):
    bug: str
    seed: int
    broke: str
    """The first invariant that it breaks."""


def table() -> list[Caught]:
    """The table in the page."""
    rows = (ROW.match(line) for line in PAGE.read_text().splitlines())
    return [Caught(row["bug"], int(row["seed"]), row["broke"]) for row in rows if row is not None]


def first_seed(bug: str) -> Caught:
    """The first seed that detects the bug. Raises LookupError if none of many does."""
    from tests.simulation.runs import Setting, run_seed

    setting = Setting(planted=bug)
    for seed in range(SEEDS_TRIED):
        if broke := run_seed(seed, setting).breaches:
            return Caught(bug, seed, broke[0].invariant)
    raise LookupError(f"{SEEDS_TRIED} seeds do not find {bug}")


def written() -> list[str]:
    """The table, computed again."""
    from tests.simulation.planted.bugs import PLANTED

    lines = [BEGIN, "|---|---|---|---|"]
    for name, bug in PLANTED.items():
        caught = first_seed(name)
        does = (bug.__doc__ or "").strip().rstrip(".")
        lines.append(f"| `{name}` | {does} | {caught.seed} | {caught.broke} |")
    return lines


def write() -> None:
    lines = PAGE.read_text().splitlines()
    begin = lines.index(BEGIN)
    end = next((n for n in range(begin, len(lines)) if not lines[n].startswith("|")), len(lines))
    PAGE.write_text("\n".join([*lines[:begin], *written(), *lines[end:]]) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    sys.path.insert(0, str(ROOT))
    write()

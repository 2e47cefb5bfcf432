"""The journals of the simulators: append-only JSON Lines files.

Tests and the demo check Gridproof's log against them, so they take no input from that log.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from domain.event_sourcing.decoders import json_decoder

Entry = TypeVar("Entry", bound=msgspec.Struct)


class Journal:
    """An entry is passed to the operating system before `append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def append(self, entry: msgspec.Struct) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path, kind: type[Entry]) -> list[Entry]:
    """All entries in order; [] if there is no journal.

    A last line without its newline is an append in progress and is left out.
    """
    if not path.exists():
        return []
    return [json_decoder(kind).decode(line) for line in path.read_bytes().split(b"\n")[:-1]]

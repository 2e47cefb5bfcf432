"""The file that says that a restore has replaced the database and is not recorded yet."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from adapters.embedded.data_folder import write_private
from domain.event_sourcing.decoders import json_decoder

FILE = "restore.pending"


class PendingRestore(msgspec.Struct, frozen=True, kw_only=True):
    """While its file exists no server is started by `gridproof up`."""

    target_at: datetime | None
    backup: str | None
    """None: something else restored the files."""
    former: str
    """The name of the folder of the database that was replaced."""

    def save(self, data_dir: Path) -> None:
        write_private(data_dir / FILE, msgspec.json.encode(self))

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        try:
            return json_decoder(cls).decode((data_dir / FILE).read_bytes())
        except FileNotFoundError:
            return None

    @staticmethod
    def forget(data_dir: Path) -> None:
        (data_dir / FILE).unlink(missing_ok=True)

"""Files and folders that only their owner may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interfaces import bootstrap

PRIVATE_UMASK = 0o077


@contextmanager
def private_umask() -> Iterator[None]:
    """Whatever this process and its children create meanwhile is readable by its owner only."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter; one that exists stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, content: str | bytes) -> None:
    """Create or replace a file that only its owner may read; a text gets a line end."""
    bootstrap.write_private(path, content if isinstance(content, bytes) else f"{content}\n".encode())

"""UploadSpool: the folder in which the web process puts uploaded files, and from which the host reads them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import IO
from uuid import UUID

FOLDER = "uploads"
ENDINGS = (".csv", ".parquet", ".xml")
KEPT_S = 24 * 3_600.0
"""For how long a file that was not imported stays. Wall seconds."""
ARRIVES_WITHIN_S = 120.0
"""Longer than an upload may take: a file this young may be coming in through another web process."""
_PART = ".part"


class UploadSpool:
    """In the data folder of `gridproof up`; its files are readable by its owner only."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def begin(self, upload_id: UUID, ending: str) -> SpooledUpload:
        """Take a new file; those that nobody imported make room for it, but for young ones. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clear(keep=(), older_than_s=ARRIVES_WITHIN_S)
        return SpooledUpload(self.path(upload_id, ending))

    def path(self, upload_id: UUID, ending: str) -> Path:
        return self._folder / f"{upload_id}{ending}"

    def clear(self, *, keep: Collection[UUID], older_than_s: float) -> None:
        """Delete the files of that age, and of the future, that belong to none of these uploads. Raises OSError."""
        if not self._folder.is_dir():
            return
        kept = {str(one) for one in keep}
        for path in self._folder.iterdir():
            age_s = time.time() - path.stat().st_mtime
            if path.name.partition(".")[0] not in kept and not 0.0 <= age_s < older_than_s:
                path.unlink(missing_ok=True)


class SpooledUpload:
    """A file that comes in; a context manager, which deletes what did not become whole. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + _PART)
        self._digest = hashlib.sha256()
        self._is_whole = False
        self._file: IO[bytes] = os.fdopen(
            os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        )
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def complete(self) -> str:
        """The SHA-256 of the whole file, which has its name from now on."""
        self._file.close()
        self._part.replace(self._path)
        self._is_whole = True
        return self._digest.hexdigest()

    def close(self) -> None:
        """Idempotent."""
        try:
            self._file.close()
        finally:
            if not self._is_whole:
                self._part.unlink(missing_ok=True)

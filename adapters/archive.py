"""The archive in a folder or in S3, by obstore; files are only ever created."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from application.ports.archive import AlreadyArchived, ArchiveUnavailable, NotArchived


class ObjectArchive:
    """`url` is file:///folder or s3://bucket/prefix; credentials of S3 are those of its usual environment."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None

    @cached_property
    def _store(self) -> ObjectStore:
        """Opened when it is first used: whoever holds an archive that is away can still do other things."""
        try:
            if self._folder is None:
                return from_url(self._url)
            return LocalStore(self._folder, mkdir=True)
        except (BaseError, OSError, ValueError) as error:
            raise _unavailable(error) from error

    def put_once(self, name: str, content: bytes) -> None:
        try:
            obstore.put(self._store, name, content, mode="create", use_multipart=False)
            if self._folder is not None:
                _sync(self._folder, self._folder / name)
        except AlreadyExistsError as error:
            raise AlreadyArchived(f"{name} is in the archive already") from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def get(self, name: str) -> bytes:
        try:
            return obstore.get(self._store, name).bytes().to_bytes()
        except FileNotFoundError as error:
            raise NotArchived(f"{name} is not in the archive") from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def listed(self, prefix: str) -> list[str]:
        try:
            batches = obstore.list(self._store, prefix)
            return sorted(found["path"] for batch in batches for found in batch)
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error


def _sync(folder: Path, path: Path) -> None:
    """The local store does not: the file, and the folders that name it, reach the disk before we go on."""
    for place in (path, *(parent for parent in path.parents if parent == folder or folder in parent.parents)):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unavailable(error: Exception) -> ArchiveUnavailable:
    reason = str(error).partition("\n")[0]
    return ArchiveUnavailable(f"the archive did not answer: {reason}; check GRIDPROOF_ARCHIVE_URL")

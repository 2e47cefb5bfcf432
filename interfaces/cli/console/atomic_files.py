"""Atomic file creation: written under an unpredictable temporary name, then linked to the final name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""Error numbers of file systems without hard links: FAT, many network shares."""
_NOT_SYNCED = frozenset({errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class FileAlreadyExists(Exception):
    """A file of that name exists. It is never overwritten."""


class FileNotWritten(Exception):
    """The file could not be written, for example on a full disk; the text has the path."""


class UnfinishedFile:
    """A temporary file, open within the block. Unless it is published, it is removed at the end of the block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}")

    def __enter__(self) -> UnfinishedFile:
        """Raises FileAlreadyExists or FileNotWritten."""
        if os.path.lexists(self.path):
            raise _already_exists(self.path)
        with converted_os_errors(self.path):
            self.file = self._temporary_path.open("xb")  # mode x: follows no link and opens no existing file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a discarded file; for a published one `finish` has raised already
            self.file.close()
        self._temporary_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Flush and sync the content to disk, then close the file. Raises FileNotWritten."""
        with converted_os_errors(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()

    def link(self) -> None:
        """Give the file its final name. Raises FileAlreadyExists or FileNotWritten."""
        try:
            os.link(self._temporary_path, self.path)  # fails if the name exists
        except FileExistsError as error:
            raise _already_exists(self.path) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise _not_written(self.path, error) from error
            self._copy()

    def _copy(self) -> None:
        """Copy instead of linking. Overwrites nothing and cleans up on failure; only kill -9 leaves a partial file."""
        with converted_os_errors(self.path), ExitStack() as rollback:
            try:
                file = rollback.enter_context(self.path.open("xb"))
            except FileExistsError as error:
                raise _already_exists(self.path) from error
            rollback.callback(self.path.unlink, missing_ok=True)
            with self._temporary_path.open("rb") as source:
                shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
            rollback.pop_all()
            file.close()


def publish(files: Sequence[UnfinishedFile]) -> None:
    """Publish all files under their final names, or none. Raises FileAlreadyExists or FileNotWritten."""
    for file in files:
        file.finish()
    with ExitStack() as rollback:
        for file in files:
            file.link()
            rollback.callback(file.path.unlink, missing_ok=True)
        for folder in {file.path.parent for file in files}:
            with converted_os_errors(folder):
                _sync_folder(folder)
        rollback.pop_all()


@contextmanager
def converted_os_errors(path: Path) -> Iterator[None]:
    """Converts OSError to FileNotWritten with the path."""
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def _already_exists(path: Path) -> FileAlreadyExists:
    return FileAlreadyExists(f"{path} is there already; name another folder with --out")


def _not_written(path: Path, error: OSError) -> FileNotWritten:
    return FileNotWritten(
        f"{path} was not written: {error.strerror or error}; mend that, or name another folder with --out"
    )


def _sync_folder(folder: Path) -> None:
    """Sync the folder's entries. Skipped where permissions or the file system do not allow it."""
    with ExitStack() as cleanup:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            cleanup.callback(os.close, descriptor)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NOT_SYNCED:
                raise

"""Files that are there only once whole: written under a name that nobody can foresee, then linked to their own."""

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
"""What file systems without hard links say: FAT of a stick, many shares."""
_NOT_SYNCED = frozenset({errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class AlreadyThere(Exception):
    """Something of that name is there already; it is never overwritten."""


class FileNotWritten(Exception):
    """The disk is full, or the folder is not ours to write to; the text has the path."""


class UnfinishedFile:
    """`file` is written to within the block; without `publish` nothing of it is left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")

    def __enter__(self) -> UnfinishedFile:
        """Raises AlreadyThere or FileNotWritten."""
        if os.path.lexists(self.path):
            raise _already_there(self.path)
        with named_failures(self.path):
            self.file = self._beside.open("xb")  # follows no link, and is nobody else's
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what is thrown away; `finish` has told what could not be written
            self.file.close()
        self._beside.unlink(missing_ok=True)

    def finish(self) -> None:
        """All of it is on the disk. Raises FileNotWritten."""
        with named_failures(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()

    def link(self) -> None:
        """Raises AlreadyThere or FileNotWritten."""
        try:
            os.link(self._beside, self.path)  # fails if another one was first
        except FileExistsError as error:
            raise _already_there(self.path) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise _not_written(self.path, error) from error
            self._copy()

    def _copy(self) -> None:
        """Nobody else's either, and gone if it fails; only kill -9 could leave a part of it."""
        with named_failures(self.path), ExitStack() as undone:
            try:
                file = undone.enter_context(self.path.open("xb"))
            except FileExistsError as error:
                raise _already_there(self.path) from error
            undone.callback(self.path.unlink, missing_ok=True)
            with self._beside.open("rb") as whole:
                shutil.copyfileobj(whole, file)
            file.flush()
            os.fsync(file.fileno())
            undone.pop_all()
            file.close()


def publish(files: Sequence[UnfinishedFile]) -> None:
    """All of them under their own names, or none. Raises AlreadyThere or FileNotWritten."""
    for file in files:
        file.finish()
    with ExitStack() as undone:
        for file in files:
            file.link()
            undone.callback(file.path.unlink, missing_ok=True)
        for folder in {file.path.parent for file in files}:
            with named_failures(folder):
                _sync_folder(folder)
        undone.pop_all()


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """Raises FileNotWritten for what the system says against it."""
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def _already_there(path: Path) -> AlreadyThere:
    return AlreadyThere(f"{path} is there already; name another folder with --out")


def _not_written(path: Path, error: OSError) -> FileNotWritten:
    return FileNotWritten(
        f"{path} was not written: {error.strerror or error}; mend that, or name another folder with --out"
    )


def _sync_folder(folder: Path) -> None:
    """A folder that may not be read, or whose file system cannot do it, is left to the system."""
    with ExitStack() as opened:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NOT_SYNCED:
                raise

"""The archive of PostgreSQL's log: the settings that turn it on, and the command that reads it back."""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import stat
from pathlib import Path

from adapters.embedded.data_folder import write_private

COMPRESSED = ".gz"
MAX_LSN = 2**64 - 1
WAL_FILE = 24
"""Hexadecimal digits in the name of a file of the log."""


def archive_settings(wal: Path, *, at_most_s: int) -> dict[str, str]:
    """Settings of a server that copies each complete file of its log to `wal`, at least every `at_most_s` seconds.

    Compressed, since a file that ends by time is mostly empty; with the time of its last change, before which
    everything is in the archive. A file that is there already is accepted if it is the same: a crash may come between
    the copy and its success.
    """
    file, partial = _quoted(wal / f"%f{COMPRESSED}"), _quoted(wal / ".%f.partial")
    copy = (
        f"gzip -1 < %p > {partial} && touch -r %p {partial} && sync {partial} && mv {partial} {file} && "
        f"sync {_quoted(wal)}"
    )
    return {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": f"if test -f {file}; then gzip -dc {file} | cmp -s %p -; else {copy}; fi",
        "archive_timeout": f"{at_most_s}s",
        "summarize_wal": "on",  # incremental backups need it
    }


def restore_command(wal: Path) -> str:
    file = _quoted(wal / f"%f{COMPRESSED}")
    return f"test -f {file} && gzip -dc {file} > %p"


def archive_file(source: Path, wal: Path) -> None:
    """Put a file of the log into the archive, unless it is there. As in `archive_settings`, it gets its name when it is
    complete: PostgreSQL would neither read a part of it nor replace it."""
    target = wal / f"{source.name}{COMPRESSED}"
    if not target.exists():
        write_private(target, gzip.compress(source.read_bytes()))
    owner = wal.stat()
    if target.stat().st_uid != owner.st_uid:  # PostgreSQL reads it as the user that the archive is given to
        os.chown(target, owner.st_uid, owner.st_gid)


def timeline_ends(wal: Path) -> dict[int, int] | None:
    """Timeline -> where in the log the newest archived timeline leaves it, for the newest itself and those it descends
    from. None: there is one timeline."""
    histories = sorted(wal.glob(f"*.history{COMPRESSED}"))
    if not histories:
        return None
    ends = {int(histories[-1].name.partition(".")[0], 16): MAX_LSN}
    for line in gzip.decompress(histories[-1].read_bytes()).decode("ascii", "replace").splitlines():
        if len(parts := line.split()) > 1 and parts[0].isdigit():
            ends[int(parts[0])] = lsn_of(parts[1])
    return ends


def lsn_of(written: str) -> int:
    """A position in PostgreSQL's log, as 0/5000060."""
    high, _, low = written.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def _quoted(path: Path) -> str:
    """For the shell; a percent sign of the folder itself is doubled, as PostgreSQL wants it."""
    folder = str(path.parent).replace("%", "%%")
    return shlex.quote(f"{folder}/{path.name}")


def make_private(folder: Path) -> None:
    """Create the folder where needed, and take the rights of other users from it, but the one to pass through."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o066:
        folder.chmod(mode & 0o711)


def make_writable(wal: Path, like: Path) -> None:
    """Create the archive, and give it to the owner of the database's folder, which is `nobody` where user namespaces
    are unavailable; that user enters the folders of backups without a right to list them."""
    for folder in (wal.parent, wal):
        make_private(folder)
    owner = like.stat()
    if wal.stat().st_uid != owner.st_uid:
        wal.parent.chmod(0o711)
        os.chown(wal, owner.st_uid, owner.st_gid)


def copy_unarchived(old_wal: Path, archive: Path, target: Path) -> int:
    """Copy the files of the log that a lost server had not archived yet; returns how many."""
    if not old_wal.is_dir():
        return 0
    copied = 0
    for file in old_wal.iterdir():
        if (
            len(file.name) == WAL_FILE
            and file.is_file()
            and not (archive / f"{file.name}{COMPRESSED}").exists()
        ):
            shutil.copyfile(file, target / file.name)
            copied += 1
    return copied

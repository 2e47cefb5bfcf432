"""The folder with the persistent data of the embedded servers; one launcher at a time uses it."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from adapters.embedded.errors import DataFolderInUse, DiskUnusable
from adapters.embedded.orphans import is_alive
from domain.event_sourcing.decoders import json_decoder

LOCK = "embedded.lock"
MIN_FREE_BYTES = 200_000_000
"""A new PostgreSQL takes 40 MB and preallocates its log in files of 16 MB."""


class ServerState(msgspec.Struct):
    """The content of servers.json, mode 0600."""

    identity: str
    passwords: dict[str, str] = {}
    ports: dict[str, int] = {}


@dataclass
class DataFolder:
    """An opened, locked data folder."""

    path: Path
    _lock_fd: int
    _state: ServerState
    rights_report: str = ""
    """What was done about rights of other users of the machine; empty where they had none."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def opened(cls, path: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> Self:
        """Create the folder where needed, lock it and take away the rights of other users.

        Raises `DiskUnusable` and `DataFolderInUse`.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = path.resolve()
            (path / "logs").mkdir(mode=0o700, exist_ok=True)
            lock_fd = _locked(path)
        except OSError as failure:
            raise _unusable(path, failure) from failure
        try:
            report = _make_private(path)
            _check_free_space(path, min_free_bytes)
            return cls(path, lock_fd, _load_state(path), rights_report=report)
        except BaseException:
            os.close(lock_fd)
            raise

    @classmethod
    def beside(cls, path: Path) -> Self:
        """The folder while another process runs its servers in it: read, and not locked."""
        return cls(path.absolute(), -1, _load_state(path.absolute()))

    @property
    def identity(self) -> str:
        """A name that no other data folder has. The servers carry it, so that they can be distinguished from others."""
        return self._state.identity

    def log(self, server: str) -> Path:
        return self.path / "logs" / f"{server}.log"

    def folder(self, name: str) -> Path:
        """A sub-folder that only our user can enter."""
        folder = self.path / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as failure:
            raise _unusable(folder, failure) from failure
        return folder

    def password(self, user: str) -> str:
        """The password of `user`, generated at the first call and then unchanged. Safe in a URL."""
        with self._lock:
            if user not in self._state.passwords:
                self._state.passwords[user] = secrets.token_urlsafe(24)
                self._save()
            return self._state.passwords[user]

    def last_port(self, name: str) -> int | None:
        return self._state.ports.get(name)

    def save_ports(self, ports: dict[str, int]) -> None:
        with self._lock:
            self._state.ports.update(ports)
            self._save()

    def _save(self) -> None:
        write_private(self.path / "servers.json", msgspec.json.encode(self._state))

    def close(self) -> None:
        """Release the lock; idempotent."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def runs_in(path: Path) -> bool:
    """True if the process that took the folder's lock last still runs. The lock is not touched: a process that starts
    takes it without waiting."""
    try:
        holder = (path / LOCK).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False
    return holder.isdigit() and is_alive(int(holder))


def _make_private(path: Path) -> str:
    """Take the rights of group and others from the folder and all in it; the report of it, empty if they had none.

    PostgreSQL keeps the rights of its own folder, which may belong to another user (adapters.embedded.unprivileged);
    that user enters this folder without a right to list it. A volume that belongs to another user stays as it is.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        if mode & 0o077:
            for entry in _entries_of(path):
                _take_away_rights(entry)
            path.chmod(0o700)  # last: what an interrupted start has left is done at the next one
    except OSError as failure:
        return f"other users of this machine can read in it, and this cannot be changed ({failure.strerror})"
    return (
        "other users of this machine could read in it; their rights were taken away" if mode & 0o044 else ""
    )


def _entries_of(path: Path) -> Iterator[Path]:
    """Every file and folder in `path`, but PostgreSQL's."""
    for folder, folders, files in os.walk(path):
        if folder == str(path) and "postgres" in folders:
            folders.remove("postgres")
        yield from (Path(folder, name) for name in (*folders, *files))


def _take_away_rights(entry: Path) -> None:
    """From group and others; no link is followed, and what is gone meanwhile has none."""
    with suppress(FileNotFoundError):
        mode = entry.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            entry.chmod(stat.S_IMODE(mode) & 0o700)


def _load_state(path: Path) -> ServerState:
    file = path / "servers.json"
    try:
        return json_decoder(ServerState).decode(file.read_bytes())
    except FileNotFoundError:
        fresh = ServerState(identity=f"gridproof-{secrets.token_hex(8)}")
        write_private(file, msgspec.json.encode(fresh))
        return fresh
    except msgspec.DecodeError as failure:
        raise DiskUnusable(
            "embedded servers",
            f"{file} is damaged ({failure})",
            advice="It holds the servers' passwords: restore it from a backup, or use an empty data folder.",
        ) from failure


def write_private(file: Path, content: bytes) -> None:
    """Write the file atomically, readable by its owner only, and synced before it gets its name."""
    partial = file.with_name(file.name + ".partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as failure:
        raise _unusable(file, failure) from failure


def _locked(path: Path) -> int:
    """Take the lock, which the kernel releases however its holder ends. The pid is for the error message."""
    lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock_fd, 32).decode("ascii", "replace").strip()
        os.close(lock_fd)
        raise DataFolderInUse(path, int(holder) if holder.isdigit() else None) from None
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock_fd


def _check_free_space(path: Path, min_free_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < min_free_bytes:
        raise DiskUnusable(
            "embedded servers",
            f"the disk of {path} has {free // 1_000_000} MB left of {min_free_bytes // 1_000_000} MB needed",
            advice="Free some space, or set GRIDPROOF_DATA_DIR to a folder on another disk.",
        )


def _unusable(path: Path, failure: OSError) -> DiskUnusable:
    return DiskUnusable(
        "embedded servers",
        f"{path} cannot be written ({failure.strerror or failure})",
        advice="Check its owner, its mode and its disk, or set GRIDPROOF_DATA_DIR to another folder.",
    )

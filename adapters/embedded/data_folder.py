"""The folder in which the embedded servers keep what outlives a restart; one launcher at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from adapters.embedded.errors import DataFolderInUse, DiskUnusable

LEAST_FREE_BYTES = 200_000_000
"""A fresh PostgreSQL takes 40 MB and writes its log ahead in pieces of 16 MB."""


class Remembered(msgspec.Struct):
    """What the folder keeps in servers.json, mode 0600."""

    identity: str
    passwords: dict[str, str] = {}
    ports: dict[str, int] = {}


@dataclass
class DataFolder:
    """An opened, locked data folder."""

    path: Path
    _lock_fd: int
    _remembered: Remembered
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def opened(cls, path: Path, *, least_free_bytes: int = LEAST_FREE_BYTES) -> Self:
        """Create the folder where needed and lock it. Raises `DiskUnusable` and `DataFolderInUse`."""
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = path.resolve()
            (path / "logs").mkdir(exist_ok=True)
            lock_fd = _locked(path)
        except OSError as failure:
            raise _unwritable(path, failure) from failure
        try:
            _refuse_when_nearly_full(path, least_free_bytes)
            return cls(path, lock_fd, _remembered_in(path))
        except BaseException:
            os.close(lock_fd)
            raise

    @property
    def identity(self) -> str:
        """A name that no other data folder has; the servers carry it, to be told from others."""
        return self._remembered.identity

    def log(self, server: str) -> Path:
        return self.path / "logs" / f"{server}.log"

    def folder(self, name: str) -> Path:
        """A sub-folder, private to us."""
        folder = self.path / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as failure:
            raise _unwritable(folder, failure) from failure
        return folder

    def password(self, user: str) -> str:
        """The password of `user`, drawn at the first call and the same ever after. Safe in a URL."""
        with self._one_at_a_time:
            if user not in self._remembered.passwords:
                self._remembered.passwords[user] = secrets.token_urlsafe(24)
                self._save()
            return self._remembered.passwords[user]

    def last_port(self, name: str) -> int | None:
        return self._remembered.ports.get(name)

    def remember_ports(self, ports: dict[str, int]) -> None:
        with self._one_at_a_time:
            self._remembered.ports.update(ports)
            self._save()

    def _save(self) -> None:
        write_private(self.path / "servers.json", msgspec.json.encode(self._remembered))

    def close(self) -> None:
        """Give the lock back; idempotent."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _remembered_in(path: Path) -> Remembered:
    file = path / "servers.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Remembered)
    except FileNotFoundError:
        fresh = Remembered(identity=f"gridproof-{secrets.token_hex(8)}")
        write_private(file, msgspec.json.encode(fresh))
        return fresh
    except msgspec.DecodeError as failure:
        raise DiskUnusable(
            "embedded servers",
            f"{file} is damaged ({failure})",
            advice="It holds the servers' passwords: restore it from a backup, or use an empty data folder.",
        ) from failure


def write_private(file: Path, content: bytes) -> None:
    """Write the whole file or nothing, readable by its owner only, on the disk before it gets its name."""
    partial = file.with_name(file.name + ".partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as failure:
        raise _unwritable(file, failure) from failure


def _locked(path: Path) -> int:
    """Take the lock, which the kernel gives back however its holder ends; the pid is for the error."""
    lock_fd = os.open(path / "embedded.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock_fd, 32).decode("ascii", "replace").strip()
        os.close(lock_fd)
        raise DataFolderInUse(path, int(holder) if holder.isdigit() else None) from None
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock_fd


def _refuse_when_nearly_full(path: Path, least_free_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < least_free_bytes:
        raise DiskUnusable(
            "embedded servers",
            f"the disk of {path} has {free // 1_000_000} MB left of {least_free_bytes // 1_000_000} MB needed",
            advice="Free some space, or set GRIDPROOF_DATA_DIR to a folder on another disk.",
        )


def _unwritable(path: Path, failure: OSError) -> DiskUnusable:
    return DiskUnusable(
        "embedded servers",
        f"{path} cannot be written ({failure.strerror or failure})",
        advice="Check its owner, its mode and its disk, or set GRIDPROOF_DATA_DIR to another folder.",
    )

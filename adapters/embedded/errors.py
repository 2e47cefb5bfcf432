"""The errors of the embedded servers."""

from __future__ import annotations

from pathlib import Path


class EmbeddedServerError(Exception):
    """An embedded server failed.

    `server` is its name, `failure` what failed, `advice` what to do next, `log_tail` the last lines of its log (empty
    where it never ran).
    """

    def __init__(self, server: str, failure: str, *, advice: str, log_tail: str = "") -> None:
        self.server = server
        self.failure = failure
        self.advice = advice
        self.log_tail = log_tail
        text = f"{server}: {failure}. {advice}"
        if log_tail:
            text += f"\n--- last lines of the log of {server} ---\n{log_tail}"
        super().__init__(text)


class BinaryMissing(EmbeddedServerError):
    """A required program is not installed or not executable."""


class DataFolderInUse(EmbeddedServerError):
    """Another process runs its servers in this folder; `holder_pid` is its pid (None: unreadable)."""

    def __init__(self, folder: Path, holder_pid: int | None) -> None:
        self.holder_pid = holder_pid
        holder = f"process {holder_pid}" if holder_pid else "another process"
        super().__init__(
            "embedded servers",
            f"the data folder {folder} is in use by {holder}",
            advice="Stop that process, or set GRIDPROOF_DATA_DIR to another folder.",
        )


class OtherMigrations(EmbeddedServerError):
    """Another version of Gridproof made the database in the data folder."""


class DiskUnusable(EmbeddedServerError):
    """The data folder cannot be written, or is nearly full."""


class PortTaken(EmbeddedServerError):
    """Another program listens on the server's port."""


class ServerExited(EmbeddedServerError):
    """The server ended without being stopped."""


class PredecessorStillRunning(ServerExited):
    """A killed process of the previous server has not released its shared memory yet."""


class ServerNotReady(EmbeddedServerError):
    """The server runs but did not respond within its deadline."""


class ForeignServer(EmbeddedServerError):
    """Another server responds on the port."""


class CannotDropRoot(EmbeddedServerError):
    """PostgreSQL refuses this user (root, or one without a name) and could not be run as another user."""

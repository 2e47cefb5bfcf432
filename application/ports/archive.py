"""The archive: files that are written once and never changed (a folder, or S3 with object lock)."""

from typing import Protocol


class AlreadyArchived(Exception):
    """There is a file of that name; it stays as it is."""


class NotArchived(LookupError):
    """There is no file of that name."""


class ArchiveUnavailable(Exception):
    """The archive cannot be reached, or refuses."""


class Archive(Protocol):
    """Files by name; a name is a path of plain segments, as `ledger/tiles/0001` (synchronous).

    All methods raise ArchiveUnavailable.
    """

    def put_once(self, name: str, content: bytes) -> None:
        """Durable when it returns. Raises AlreadyArchived, whatever the content."""
        ...

    def get(self, name: str) -> bytes:
        """Raises NotArchived."""
        ...

    def listed(self, prefix: str) -> list[str]:
        """The names in the folder `prefix` and below, sorted."""
        ...

"""The archive port: files that are written once and never changed (a folder, or S3 with object lock)."""

from typing import Protocol


class AlreadyArchived(Exception):
    """A file of that name exists; it stays as it is."""


class NotArchived(LookupError):
    """No file has that name."""


class ArchiveUnavailable(Exception):
    """The archive cannot be reached, or refuses the request."""


class Archive(Protocol):
    """Files by name. A name is a path of plain segments, such as `ledger/tiles/0001` (synchronous).

    All methods raise ArchiveUnavailable.
    """

    def put_once(self, name: str, content: bytes) -> None:
        """Store a file durably before returning. Raises AlreadyArchived, even when the content is the same."""
        ...

    def get(self, name: str) -> bytes:
        """Raises NotArchived."""
        ...

    def listed(self, prefix: str) -> list[str]:
        """The names in the folder `prefix` and below, sorted."""
        ...

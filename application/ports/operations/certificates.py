"""Certificates of the servers that a process calls, and of its own files: when they end."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class CertificateEnd(NamedTuple):
    name: str
    """The setting, and the server where it is one: `mqtt broker.example:8883`."""
    ends_at: datetime


class Certificates(Protocol):
    """Synchronous; takes some seconds for each server."""

    def ends(self) -> Sequence[CertificateEnd]:
        """The ends of certificates that can be read now. That a server is away, or a file missing, is told by
        others."""
        ...

"""Wiring of TLS: what the clients of HTTP servers trust."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from interfaces.settings.settings import Settings


def http_tls(settings: Settings) -> ssl.SSLContext | None:
    """Of every connection to an https address: the machine's authorities, and those of GRIDPROOF_TLS_CA_FILE. None: the
    former alone. Raises TlsFilesError."""
    return None if settings.tls_ca_file is None else _context(settings.tls_ca_file)


def collector_tls(settings: Settings) -> ssl.SSLContext:
    """The same for the collector of traces, whose library changes its context. Raises TlsFilesError."""
    from adapters.tls import tls_context

    return tls_context(also_ca_file=settings.tls_ca_file)


@cache
def _context(ca_file: Path) -> ssl.SSLContext:
    from adapters.tls import tls_context

    return tls_context(also_ca_file=ca_file)

"""Hints where a session of PostgreSQL fails for TLS. libpq makes the handshake and gives its reason as text."""

from __future__ import annotations

_WANTS_CERTIFICATE = "it wants a client certificate: add sslcert=FILE and sslkey=FILE to the address"
_ADVICE = {
    "certificate verify failed": "is the authority of its certificate in GRIDPROOF_TLS_CA_FILE, or the sslrootcert of "
    "the address?",
    "does not match host name": "its certificate is for another name: use a name that it holds, or issue one for this "
    "name",
    "server does not support SSL": "set `ssl = on` in its postgresql.conf, or sslmode=disable in the address where "
    "nobody can listen",
    "no encryption": "it takes connections with TLS only: set GRIDPROOF_TLS_CA_FILE, or sslmode=verify-full and "
    "sslrootcert=FILE in the address",
    "certificate required": _WANTS_CERTIFICATE,
    "requires a valid client certificate": _WANTS_CERTIFICATE,
}


def tls_advice(error: BaseException) -> str | None:
    """None where the failure has nothing to do with TLS."""
    text = str(error)
    return next((advice for found, advice in _ADVICE.items() if found in text), None)
